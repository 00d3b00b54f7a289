import { backoff, type Random } from './backoff.js';
import type { Clock } from './clock.js';
import { LockConfigError } from './errors.js';

/**
 * Requests that give something back to the store: each is repeated until it was answered, or until what it gives back
 * must have run out by itself. The caller waits for the first try only.
 */
export class Settlements {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #open = new Set<Promise<unknown>>();

  constructor(clock: Clock, random: Random) {
    this.#clock = clock;
    this.#random = random;
  }

  /** Resolves after the first try, whatever its outcome; the others go on in the background. */
  async settle(request: () => Promise<unknown>, ttl: number): Promise<void> {
    const deadline = this.#clock.now() + ttl;
    let first: Promise<unknown> | undefined;
    try {
      first = request();
      this.#open.add(first);
      await first;
    } catch (error) {
      const settled = this.#repeat(request, deadline, error, ttl).finally(() => this.#open.delete(settled));
      this.#open.add(settled);
    } finally {
      if (first) this.#open.delete(first);
    }
  }

  /** Resolves when all that is under way is settled. */
  async all(): Promise<void> {
    while (this.#open.size > 0) await Promise.allSettled(this.#open);
  }

  async #repeat(request: () => Promise<unknown>, deadline: number, failure: unknown, ttl: number): Promise<void> {
    let error = failure;
    for (let attempt = 0; !(error instanceof LockConfigError) && this.#clock.now() < deadline; attempt++) {
      const delay = backoff(attempt, Math.min(100, ttl / 12), 1000, this.#random);
      await new Promise<void>((resolve) => void this.#clock.after(delay, resolve));
      try {
        await request();
        return;
      } catch (again) {
        error = again;
      }
    }
  }
}
