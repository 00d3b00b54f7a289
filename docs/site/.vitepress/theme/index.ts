import type { Theme } from 'vitepress';
import DefaultTheme from 'vitepress/theme';
import './mermaid.css';
import { Mermaid } from './mermaid.js';

export default {
  extends: DefaultTheme,
  enhanceApp: ({ app }) => void app.component('Mermaid', Mermaid),
} satisfies Theme;
