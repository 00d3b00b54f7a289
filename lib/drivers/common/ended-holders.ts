import type { Clock } from '../../core/clock.js';

/** Milliseconds for which an ended holder is remembered. A call within one process is never late for longer. */
const REMEMBERED_FOR = 60_000;

/**
 * Holders that were cancelled. A late `acquire` of one of them must get nothing (S6). Each is remembered for a minute,
 * whatever its TTL.
 *
 * Not covered:
 * - requests that are already on their way to a store: the driver has to make them fail there.
 */
export class EndedHolders {
  readonly #clock: Clock;
  /** The oldest first, with the time until which each is remembered. */
  readonly #until = new Map<string, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get size(): number {
    return this.#until.size;
  }

  /** A holder that is added again is remembered for a minute from now on. */
  add(holder: string): void {
    const now = this.#forgetOld();
    this.#until.delete(holder);
    this.#until.set(holder, now + REMEMBERED_FOR);
  }

  has(holder: string): boolean {
    this.#forgetOld();
    return this.#until.has(holder);
  }

  /** Returns the time of the clock. */
  #forgetOld(): number {
    const now = this.#clock.now();
    for (const [oldest, until] of this.#until) {
      if (until > now) break;
      this.#until.delete(oldest);
    }
    return now;
  }
}
