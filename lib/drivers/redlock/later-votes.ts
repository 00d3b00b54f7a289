import type { Clock } from '../../core/clock.js';
import { LinkedList } from '../../core/linked-list.js';
import type { Round } from './rounds.js';

/** Milliseconds. The servers that were not needed hear nothing of a lock that is held for a shorter time. */
const LATER = 5;

/** Asks the servers that a grant did not need for their vote, a moment later, for all grants of that time at once. */
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

  /** The servers of this round are not asked. Returns false when they were asked before. */
  drop(round: Round): boolean {
    const isUnasked = this.#rounds.has(round);
    this.#rounds.remove(round);
    return isUnasked;
  }

  /** As `drop`, where only the holder is known. */
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
