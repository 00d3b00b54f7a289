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
  readonly #open = new Set<Promise<void>>();

  constructor(clock: Clock, random: Random) {
    this.#clock = clock;
    this.#random = random;
  }

  /** Resolves after the first try, whatever its outcome; the others go on in the background. */
  settle(request: () => Promise<unknown>, ttl: number): Promise<void> {
    return new Promise((resolve) => {
      const settled = this.#repeat(request, ttl, resolve).finally(() => this.#open.delete(settled));
      this.#open.add(settled);
    });
  }

  /** Resolves when all that is under way is settled. */
  async all(): Promise<void> {
    await Promise.all(this.#open);
  }

  async #repeat(request: () => Promise<unknown>, ttl: number, tried: () => void): Promise<void> {
    const deadline = this.#clock.now() + ttl;
    for (let attempt = 0; ; attempt++) {
      try {
        await request();
        return;
      } catch (error) {
        if (error instanceof LockConfigError || this.#clock.now() >= deadline) return;
      } finally {
        tried();
      }
      const delay = backoff(attempt, Math.min(100, ttl / 12), 1000, this.#random);
      await new Promise<void>((resolve) => void this.#clock.after(delay, resolve));
    }
  }
}
