import { defineConfig } from 'vitepress';
import manifest from '../../../package.json' with { type: 'json' };
import { Checks } from './checks.js';
import { asOnGitHub, slugify } from './markdown.js';
import { sidebar, sitePath } from './pages.js';

/** The pages are outside of this folder: on the server side Vite would look for Vue beside them. */
const vueForPages = {
  name: 'vue-for-pages',
  enforce: 'pre',
  resolveId: (id: string, _importer: unknown, { ssr }: { ssr?: boolean }) =>
    ssr && /^vue(\/|$)/.test(id) ? { id, external: true } : undefined,
} as const;

const checks = new Checks();

export default defineConfig({
  title: manifest.name,
  description: manifest.description,
  srcDir: '..',
  srcExclude: ['site/*.md', 'site/.vitepress/**'],
  outDir: 'dist',
  cacheDir: 'node_modules/.cache/vitepress',
  rewrites: sitePath,
  // The checks find dead links, all of them in one list.
  ignoreDeadLinks: true,
  markdown: {
    anchor: { slugify },
    attrs: { disable: true },
    config: (md) => asOnGitHub(md, checks),
  },
  themeConfig: {
    outline: [2, 3],
    search: { provider: 'local' },
    sidebar: sidebar(),
  },
  // Only pages with a diagram load Mermaid, whose largest part has 700 kB.
  vite: { plugins: [vueForPages], build: { chunkSizeWarningLimit: 750 } },
  buildEnd: () => checks.done(),
});
