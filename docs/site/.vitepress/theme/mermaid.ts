import { useData } from 'vitepress';
import { defineComponent, h, onMounted, ref, useId, watch } from 'vue';

/** A diagram, drawn in the browser in the colours of the page. Without JavaScript its source is shown. */
export const Mermaid = defineComponent({
  props: { source: { type: String, required: true } },
  setup({ source }) {
    const text = decodeURIComponent(source);
    const id = useId();
    const { isDark } = useData();
    const svg = ref('');

    async function draw(): Promise<void> {
      const { default: mermaid } = await import('mermaid');
      mermaid.initialize({ startOnLoad: false, theme: isDark.value ? 'dark' : 'default' });
      svg.value = (await mermaid.render(`mermaid-${id}`, text)).svg;
    }
    onMounted(() => watch(isDark, draw, { immediate: true }));

    return () => (svg.value ? h('div', { class: 'mermaid', innerHTML: svg.value }) : h('pre', text));
  },
});
