import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from './consumer.js';

export const README = readFileSync(join(ROOT, 'README.md'), 'utf8');

export interface CodeBlock {
  readonly language: string;
  /** Line of the README in which the code begins, from 1. */
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
export function section(heading: string, page = README): string {
  const [marks = ''] = heading.split(' ');
  const start = page.indexOf(`\n${heading}\n`);
  if (start < 0) throw new Error(`There is no heading "${heading}".`);
  const text = page.slice(start + heading.length + 2);
  const end = text.search(new RegExp(`^#{1,${marks.length}} `, 'm'));
  return end < 0 ? text : text.slice(0, end);
}

/** The cells of the rows of the first table of a section, without its head; code marks are removed. */
export function table(heading: string, page = README): string[][] {
  const [, , ...rows] = section(heading, page)
    .split('\n')
    .filter((line) => line.startsWith('|'));
  return rows.map((row) =>
    row
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim().replaceAll('`', '')),
  );
}

/** Links to headings of the same page that it does not have. */
export function deadAnchors(page: string): string[] {
  const headings = page.replaceAll(/^```.*?^```$/gms, '').matchAll(/^#+ (.*)$/gm);
  const anchors = new Set([...headings].map(([, title = '']) => anchorOf(title)));
  return linksOf(page).filter((link) => link.startsWith('#') && !anchors.has(link.slice(1)));
}

export function linksOf(page: string): string[] {
  return [...page.matchAll(/\]\(([^)]+)\)/g)].map(([, target = '']) => target);
}

/** As GitHub makes them. */
function anchorOf(title: string): string {
  const words = title.toLowerCase().replaceAll(/[^\w\- ]/g, '');
  return words.replaceAll(' ', '-');
}

/** The Redis user that the README tells people to create. */
export function readmeUser(): { name: string; password: string; namespace: string; rules: string[] } {
  const line = codeBlocks(section('## Redis permissions')).find(({ code }) => code.startsWith('ACL SETUSER'))!.code;
  const [, , name = '', ...rules] = line.trim().split(/\s+/);
  const password = rules.find((rule) => rule.startsWith('>'))!.slice(1);
  const namespace = /^~\{(.+):\*$/.exec(rules.find((rule) => rule.startsWith('~'))!)![1]!;
  return { name, password, namespace, rules };
}
