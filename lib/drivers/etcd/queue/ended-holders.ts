import type { Clock } from '../../../core/clock.js';

/** How many milliseconds a cancelled holder is remembered. A call within one process is not late for longer. */
const REMEMBERED_FOR = 60_000;

/**
 * Holders that were cancelled, each for the same time, whatever its TTL. What of them is under way to the store needs no
 * memory: their leases are revoked.
 */
export class EndedHolders {
  readonly #clock: Clock;
  /** Oldest first, with the time until which each is remembered. */
  readonly #until = new Map<string, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get size(): number {
    return this.#until.size;
  }

  add(holder: string): void {
    const now = this.#forgetOld();
    // Repeated, it is the latest.
    this.#until.delete(holder);
    this.#until.set(holder, now + REMEMBERED_FOR);
  }

  has(holder: string): boolean {
    this.#forgetOld();
    return this.#until.has(holder);
  }

  #forgetOld(): number {
    const now = this.#clock.now();
    for (const [oldest, until] of this.#until) {
      if (until > now) break;
      this.#until.delete(oldest);
    }
    return now;
  }
}
