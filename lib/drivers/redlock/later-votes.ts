import type { Server } from './server.js';

/** Milliseconds: most locks are held for longer, and those that are not cost the other servers nothing. */
const LATER = 5;

type Ask = (server: Server) => Promise<unknown>;

/** The servers that were not needed for a grant: they are asked for their vote a moment later, many in one go. */
export class LaterVotes {
  readonly #unasked = new Map<string, { readonly servers: readonly Server[]; readonly ask: Ask }>();
  #isTimed = false;

  ask(holder: string, servers: readonly Server[], ask: Ask): void {
    this.#unasked.set(holder, { servers, ask });
    if (this.#isTimed) return;
    this.#isTimed = true;
    setTimeout(() => this.#askAll(), LATER).unref();
  }

  /** The holder gives its lease back: those that it was not asked of, and will not be. */
  drop(holder: string): readonly Server[] {
    const servers = this.#unasked.get(holder)?.servers ?? [];
    this.#unasked.delete(holder);
    return servers;
  }

  #askAll(): void {
    this.#isTimed = false;
    for (const { servers, ask } of this.#unasked.values()) {
      for (const server of servers) ask(server).catch(() => undefined);
    }
    this.#unasked.clear();
  }
}
