import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { DefaultTheme } from 'vitepress';

export const DOCS = fileURLToPath(new URL('../..', import.meta.url));
const SITE = 'site';
const API = 'site/build/api';
const API_INDEX = new URL('../build/api.json', import.meta.url);

/** The reading order in each folder. A page or folder that is not listed comes after those that are, by name. */
const ORDER: Readonly<Record<string, readonly string[]>> = {
  '': [
    'concepts',
    'locks',
    'leadership',
    'scheduled-jobs',
    'fencing',
    'guarantees',
    'performance',
    'drivers',
    'recipes',
    'testing',
    'production-checklist',
    'operations',
    'errors',
    'migration',
    'faq',
    'compatibility',
    'reference',
    'internals',
  ],
  drivers: ['memory', 'redis', 'redis-sentinel-cluster', 'redlock', 'etcd'],
  internals: ['safety', 'acquire', 'memory', 'redis', 'redlock', 'etcd', 'writing-a-driver'],
};

/** Whether a file below docs is a page of the site. */
export function isPage(path: string): boolean {
  return path.endsWith('.md') && (!isBelow(path, SITE) || isBelow(path, API));
}

/** The path in the site of a page below docs: `drivers/README.md` is `drivers/index.md`. */
export function sitePath(path: string): string {
  return path.replace(/^site\/build\//, '').replace(/(^|\/)README\.md$/, '$1index.md');
}

/** All pages by hand in reading order, then the API. */
export function sidebar(): DefaultTheme.SidebarItem[] {
  const { text, link, items = [] } = folder('');
  return [...(link ? [{ text, link }] : []), ...items, { ...api(), text: 'API' }];
}

function folder(path: string): DefaultTheme.SidebarItem {
  const entries = readdirSync(join(DOCS, path), { withFileTypes: true });
  const order = ORDER[path] ?? [];
  const rank = (name: string): number => (order.includes(name) ? order.indexOf(name) : order.length);
  const items = entries
    .filter((entry) => (entry.isDirectory() ? join(path, entry.name) !== SITE : entry.name.endsWith('.md')))
    .map((entry) => ({ entry, name: entry.name.replace(/\.md$/, '') }))
    .filter(({ name }) => name !== 'README')
    .sort((a, b) => rank(a.name) - rank(b.name) || a.name.localeCompare(b.name))
    .map(({ entry }) => (entry.isDirectory() ? folder : page)(join(path, entry.name)))
    .filter(({ link, items: inside }) => link || inside?.length);
  const hasIndex = entries.some(({ name }) => name === 'README.md');
  const index = hasIndex ? page(join(path, 'README.md')) : { text: path.charAt(0).toUpperCase() + path.slice(1) };
  return { ...index, collapsed: true, items };
}

function page(path: string): DefaultTheme.SidebarItem {
  const [, title = path] = /^# (.*)$/m.exec(readFileSync(join(DOCS, path), 'utf8')) ?? [];
  return { text: title.replaceAll('`', ''), link: linkTo(path) };
}

interface ApiEntry {
  readonly title: string;
  readonly path?: string;
  readonly children?: readonly ApiEntry[];
}

function api(): DefaultTheme.SidebarItem {
  const item = ({ title, path, children }: ApiEntry): DefaultTheme.SidebarItem => ({
    text: title,
    ...(path ? { link: linkTo(`${API}/${path}`) } : {}),
    ...(children ? { collapsed: true, items: children.map(item) } : {}),
  });
  const modules = JSON.parse(readFileSync(API_INDEX, 'utf8')) as ApiEntry[];
  return { link: linkTo(`${API}/README.md`), collapsed: true, items: modules.map(item) };
}

function linkTo(path: string): string {
  return `/${sitePath(path)}`.replace(/index\.md$/, '').replace(/\.md$/, '.html');
}

function isBelow(path: string, folder: string): boolean {
  return path.startsWith(`${folder}/`);
}
