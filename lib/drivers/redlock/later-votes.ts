import { detached } from '../../core/detached.js';
import { LinkedList } from '../../core/linked-list.js';
import type { Round } from './rounds.js';

/** Milliseconds: most locks are held for longer, and those that are not cost the other servers nothing. */
const LATER = 5;

/** Servers that were not needed for a grant: they are asked for their vote a moment later, many in one go. */
export class LaterVotes {
  readonly #rounds = new LinkedList<Round>();
  #isTimed = false;

  add(round: Round): void {
    this.#rounds.append(round);
    if (this.#isTimed) return;
    this.#isTimed = true;
    detached(() => setTimeout(() => this.#askAll(), LATER).unref());
  }

  /** They will not be asked. False when they were. */
  drop(round: Round): boolean {
    const isUnasked = this.#rounds.has(round);
    this.#rounds.remove(round);
    return isUnasked;
  }

  /** The same for a lease of which no more is known than its holder. */
  dropHolder(holder: string): void {
    for (const round of this.#rounds.items()) if (round.candidate.claim.holder === holder) this.#rounds.remove(round);
  }

  #askAll(): void {
    this.#isTimed = false;
    for (const round of this.#rounds.items()) {
      this.#rounds.remove(round);
      for (const server of round.unasked) round.ask(server).catch(() => undefined);
    }
  }
}
