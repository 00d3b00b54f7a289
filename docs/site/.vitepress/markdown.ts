import { existsSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { isHTMLTag } from '@vue/shared';
import type { MarkdownEnv, MarkdownRenderer } from 'vitepress';
import type { Checks } from './checks.js';
import { DOCS, isPage, sitePath } from './pages.js';

type Token = ReturnType<MarkdownRenderer['parse']>[number];

/**
 * The pages are written for GitHub, and the site shows them as GitHub does:
 *
 * 1. Text is text: Vue sees neither `{{ }}` nor a tag that is not HTML, such as the one in `Promise<T>`.
 * 2. A heading has the anchor that it has on GitHub.
 * 3. A link to a README leads to the index of its folder. A link to a file that is not in the site becomes text.
 * 4. A `mermaid` fence becomes a diagram.
 */
export function asOnGitHub(md: MarkdownRenderer, checks: Checks): void {
  keepText(md);
  followLinks(md, checks);
  drawDiagrams(md, checks);
}

/** The anchor of a heading on GitHub. */
export function slugify(title: string): string {
  return title
    .trim()
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}_\- ]/gu, '')
    .replaceAll(' ', '-');
}

function keepText(md: MarkdownRenderer): void {
  const { rules } = md.renderer;
  const { escapeHtml } = md.utils;
  const { code_inline: code } = rules;
  const withoutBraces = (html: string): string => html.replaceAll('{{', '&#123;&#123;');
  const html = (tokens: Token[], index: number): string =>
    withoutBraces(
      tokens[index]!.content.replaceAll(/<\/?([a-z][\w-]*)[^>]*>/gi, (tag, name: string) =>
        isHTMLTag(name) ? tag : escapeHtml(tag),
      ),
    );
  rules.text = (tokens, index) => withoutBraces(escapeHtml(tokens[index]!.content));
  rules.code_inline = (...given) => withoutBraces(code!(...given));
  rules.html_inline = html;
  rules.html_block = html;
}

function followLinks(md: MarkdownRenderer, checks: Checks): void {
  md.core.ruler.push('follow-links', ({ tokens, env }) => {
    const page = pageOf(env);
    const headings = tokens.filter(({ type }) => type === 'heading_open');
    checks.headings(
      page,
      headings.map((heading) => heading.attrGet('id') ?? ''),
    );
    for (const { children } of tokens) {
      children?.forEach((token, index) => {
        if (token.type === 'link_open') follow(token, closeOf(children, index), page, checks);
      });
    }
  });
}

function follow(open: Token, close: Token, page: string, checks: Checks): void {
  const href = open.attrGet('href') ?? '';
  if (/^[a-z][a-z\d+.-]*:/i.test(href)) return;
  const [path = '', hash = ''] = href.split('#').map(decodeURIComponent);
  const named = path === '' ? page : join(dirname(page), path);
  const target = existsSync(join(DOCS, named, 'README.md')) ? join(named, 'README.md') : named;
  if (path.startsWith('/') || !existsSync(join(DOCS, target))) {
    checks.problem(page, `no file for the link ${href}`);
  } else if (target.startsWith('..') || !isPage(target)) {
    open.type = close.type = 'outside';
    open.tag = close.tag = 'span';
    open.attrs = [['title', `${join('docs', target)} in the repository`]];
  } else {
    checks.link(page, href, target, hash);
    if (path !== '') open.attrSet('href', `/${sitePath(target)}${hash && `#${hash}`}`);
  }
}

/** Links do not nest. */
function closeOf(tokens: readonly Token[], open: number): Token {
  return tokens.slice(open).find(({ type }) => type === 'link_close')!;
}

function drawDiagrams(md: MarkdownRenderer, checks: Checks): void {
  const { fence } = md.renderer.rules;
  md.renderer.rules.fence = (tokens, index, options, env, self) => {
    const { info, content } = tokens[index]!;
    if (info.trim() !== 'mermaid') return fence!(tokens, index, options, env, self);
    checks.diagram(pageOf(env), content);
    return `<Mermaid source="${encodeURIComponent(content)}" />`;
  };
}

/** The path of the page below docs. `path` is the one in the site, except for the index of the search. */
function pageOf(env: MarkdownEnv & { realPath?: string }): string {
  return relative(DOCS, env.realPath ?? env.path);
}
