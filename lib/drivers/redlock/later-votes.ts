import type { Clock } from '../../core/clock.js';
import { LinkedList } from '../../core/linked-list.js';
import type { Round } from './rounds.js';

/** Milliseconds. A lock that is held for a shorter time costs the servers that were not needed nothing. */
const LATER = 5;

/** Asks the servers that were not needed for a grant for their vote a moment later: all such grants in one go. */
export class LaterVotes {
  readonly #clock: Clock;
  readonly #rounds = new LinkedList<Round>();
  #isTimed = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  add(round: Round): void {
    this.#rounds.append(round);
    if (this.#isTimed) return;
    this.#isTimed = true;
    this.#clock.after(LATER, () => this.#askAll());
  }

  /** The servers of this round will not be asked. False when they were asked before. */
  drop(round: Round): boolean {
    const isUnasked = this.#rounds.has(round);
    this.#rounds.remove(round);
    return isUnasked;
  }

  /** The same for a lease of which only the holder is known. */
  dropHolder(holder: string): void {
    for (const round of this.#rounds.items()) if (round.state.claim.holder === holder) this.#rounds.remove(round);
  }

  #askAll(): void {
    this.#isTimed = false;
    for (const round of this.#rounds.items()) {
      this.#rounds.remove(round);
      for (const server of round.unasked) round.ask(server).catch(() => undefined);
    }
  }
}
