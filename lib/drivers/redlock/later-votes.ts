import { type Linked, LinkedList } from '../../core/linked-list.js';
import type { Server } from './server.js';

/** Milliseconds: most locks are held for longer, and those that are not cost the other servers nothing. */
const LATER = 5;

/** Servers that were not needed for a grant. */
export interface LaterVote extends Linked<LaterVote> {
  readonly unasked: readonly Server[];
  ask(server: Server): Promise<unknown>;
}

/** They are asked for their vote a moment later, many in one go. */
export class LaterVotes {
  readonly #unasked = new LinkedList<LaterVote>();
  #isTimed = false;

  add(vote: LaterVote): void {
    this.#unasked.append(vote);
    if (this.#isTimed) return;
    this.#isTimed = true;
    setTimeout(() => this.#askAll(), LATER).unref();
  }

  /** They will not be asked. False when they were. */
  drop(vote: LaterVote): boolean {
    const isUnasked = this.#unasked.has(vote);
    this.#unasked.remove(vote);
    return isUnasked;
  }

  #askAll(): void {
    this.#isTimed = false;
    for (const vote of this.#unasked.items()) {
      this.#unasked.remove(vote);
      for (const server of vote.unasked) vote.ask(server).catch(() => undefined);
    }
  }
}
