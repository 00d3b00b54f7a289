import { existsSync } from 'node:fs';
import { join, normalize } from 'node:path/posix';
import { filesBelow, read, ROOT } from './repository.js';

/** A page of the documentation. */
export interface Page {
  /** From the root of the repository: `docs/locks.md`. */
  readonly path: string;
  readonly text: string;
}

/** The README and all pages below `docs`. */
export const PAGES: readonly Page[] = ['README.md', ...filesBelow('docs', /\.md$/)].map((path) => ({
  path,
  text: read(path),
}));

export interface CodeBlock {
  readonly language: string;
  /** Line of the page in which the code begins, from 1. */
  readonly line: number;
  readonly code: string;
}

export function codeBlocks(text: string): CodeBlock[] {
  return [...text.matchAll(/^```(\w*)\n(.*?)^```$/gms)].map(({ index, 1: language = '', 2: code = '' }) => ({
    language,
    line: text.slice(0, index).split('\n').length + 1,
    code,
  }));
}

/** The text below a heading, up to the next one that is not deeper. */
export function section(heading: string, page: string): string {
  const [marks = ''] = heading.split(' ');
  const start = page.indexOf(`\n${heading}\n`);
  if (start < 0) throw new Error(`There is no heading "${heading}".`);
  const text = page.slice(start + heading.length + 2);
  const end = text.search(new RegExp(`^#{1,${marks.length}} `, 'm'));
  return end < 0 ? text : text.slice(0, end);
}

export interface Table {
  readonly page: string;
  /** The text of the heading above it, without its marks. */
  readonly heading: string;
  readonly head: readonly string[];
  /** The cells of each row; code marks are removed. */
  readonly rows: readonly (readonly string[])[];
}

/** All tables of a page. */
export function tablesOf({ path, text }: Page): Table[] {
  let heading = '';
  return withoutCode(text)
    .split(/\n{2,}/)
    .flatMap((block) => {
      const lines = block.split('\n').filter((line) => line !== '');
      heading = lines.findLast((line) => /^#+ /.test(line))?.replace(/^#+ /, '') ?? heading;
      const rows = lines.filter((line) => line.startsWith('|'));
      if (!/^\|[\s:|-]+\|$/.test(rows[1] ?? '')) return [];
      const [head = [], , ...rest] = rows.map(cellsOf);
      return [{ page: path, heading: heading.replaceAll('`', ''), head, rows: rest }];
    });
}

/** The rows of the first table of a section, without its head; code marks are removed. */
export function table(heading: string, page: string): readonly (readonly string[])[] {
  return tablesOf({ path: '', text: `\n${section(heading, page)}` })[0]?.rows ?? [];
}

function cellsOf(row: string): string[] {
  return row
    .split(/(?<!\\)\|/)
    .slice(1, -1)
    .map((cell) => cell.trim().replaceAll('`', '').replaceAll('\\|', '|'));
}

function withoutCode(text: string): string {
  return text.replaceAll(/^```.*?^```$/gms, '');
}

/** The targets of the links of a page, in its text, not in its code. */
export function linksOf(text: string): string[] {
  return [...withoutCode(text).matchAll(/\]\(([^)\s]+)\)/g)].map(([, target = '']) => target);
}

/**
 * Links to files that do not exist, and to headings that a page does not have.
 *
 * @param pages to check; a link may also lead to any file of the repository
 */
export function deadLinks(pages: readonly Page[]): string[] {
  const texts = new Map([...PAGES, ...pages].map(({ path, text }) => [path, text]));
  return pages.flatMap(({ path, text }) =>
    linksOf(text)
      .filter((link) => !/^[a-z]+:/.test(link) && !leadsSomewhere(link, path, texts))
      .map((link) => `${path}: ${link}`),
  );
}

function leadsSomewhere(link: string, from: string, texts: ReadonlyMap<string, string>): boolean {
  const [file = '', anchor] = link.split('#');
  const target = file === '' ? from : normalize(join(from, '..', file));
  if (anchor === undefined) return texts.has(target) || existsSync(join(ROOT, target));
  return anchorsOf(texts.get(target) ?? '').has(anchor);
}

/** The anchors that GitHub gives to the headings of a page: a repeated one gets a number. */
function anchorsOf(text: string): Set<string> {
  const anchors = new Set<string>();
  for (const [, title = ''] of withoutCode(text).matchAll(/^#+ (.*)$/gm)) {
    const words = title
      .replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1')
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}_\- ]/gu, '')
      .replaceAll(' ', '-');
    let anchor = words;
    for (let count = 1; anchors.has(anchor); count++) anchor = `${words}-${count}`;
    anchors.add(anchor);
  }
  return anchors;
}

/** The Redis user that the documentation tells people to create. */
export function documentedUser(): { name: string; password: string; namespace: string; rules: string[] } {
  const commands = PAGES.flatMap(({ text }) => codeBlocks(text)).flatMap(({ code }) => code.split('\n'));
  const found = new Set(commands.filter((line) => line.startsWith('ACL SETUSER dist-lock reset ')));
  const [line = ''] = found;
  if (found.size !== 1) throw new Error(`Expected one line with "ACL SETUSER dist-lock reset", found ${found.size}.`);
  const [, , name = '', ...rules] = line.trim().split(/\s+/);
  const password = rules.find((rule) => rule.startsWith('>'))!.slice(1);
  const namespace = /^~\{(.+):\*$/.exec(rules.find((rule) => rule.startsWith('~'))!)![1]!;
  return { name, password, namespace, rules };
}
