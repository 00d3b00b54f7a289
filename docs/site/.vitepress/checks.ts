import { Window } from 'happy-dom';

/**
 * What is wrong with the pages, collected while they are rendered: dead links to files and to headings, and diagrams
 * that Mermaid does not understand. Links to the web are not checked.
 */
export class Checks {
  readonly #headings = new Map<string, Set<string>>();
  readonly #links: { readonly page: string; readonly href: string; readonly target: string; readonly hash: string }[] =
    [];
  readonly #diagrams: { readonly page: string; readonly source: string }[] = [];
  readonly #problems = new Set<string>();

  headings(page: string, ids: readonly string[]): void {
    this.#headings.set(page, new Set(ids));
  }

  link(page: string, href: string, target: string, hash: string): void {
    this.#links.push({ page, href, target, hash });
  }

  diagram(page: string, source: string): void {
    this.#diagrams.push({ page, source });
  }

  problem(page: string, text: string): void {
    this.#problems.add(`docs/${page}: ${text}`);
  }

  /** After all pages have been rendered. @throws Error that lists all problems */
  async done(): Promise<void> {
    for (const { page, href, target, hash } of this.#links) {
      if (hash && !this.#headings.get(target)?.has(hash)) this.problem(page, `no heading for the link ${href}`);
    }
    await this.#parseDiagrams();
    if (this.#problems.size > 0) throw new Error(['The pages have problems:', ...this.#problems].join('\n  '));
  }

  async #parseDiagrams(): Promise<void> {
    const window = new Window();
    // Mermaid cleans labels with DOMPurify, which needs a document.
    Object.assign(globalThis, { window, document: window.document });
    const { default: mermaid } = await import('mermaid');
    for (const { page, source } of this.#diagrams) {
      await mermaid.parse(source).catch((error: unknown) => this.problem(page, `a diagram is wrong: ${String(error)}`));
    }
  }
}
