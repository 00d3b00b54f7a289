import type { Clock } from '../../core/clock.js';
import type { LeaseRef } from '../../core/lock-driver.js';

/** How many milliseconds a cancelled holder is remembered, at least. A call within one process is not late for longer. */
const REMEMBERED_FOR = 60_000;

/** Holders that were cancelled. What of them is under way to the store needs no memory: their leases are revoked. */
export class EndedHolders {
  readonly #clock: Clock;
  /** Oldest first, with the time until which each is remembered. */
  readonly #until = new Map<string, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  add({ holder, ttl }: LeaseRef): void {
    this.#until.set(holder, this.#clock.now() + Math.max(ttl, REMEMBERED_FOR));
  }

  has(holder: string): boolean {
    const now = this.#clock.now();
    for (const [oldest, until] of this.#until) {
      if (until > now) break;
      this.#until.delete(oldest);
    }
    return this.#until.has(holder);
  }
}
