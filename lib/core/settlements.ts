import { backoff, type Random } from './backoff.js';
import type { Clock } from './clock.js';
import { LockConfigError } from './errors.js';

export type Warn = (message: string) => void;

/**
 * Requests that give something back to the store: each is repeated until it was answered, or until what it gives back
 * must have run out by itself. The caller waits for the first try only. What the store refuses for good is not repeated,
 * but an operator is told: once, until something was given back again.
 */
export class Settlements {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #warn: Warn;
  #refusal: string | undefined;
  #open = 0;
  #onSettled: (() => void) | undefined;

  constructor(clock: Clock, random: Random, warn: Warn) {
    this.#clock = clock;
    this.#random = random;
    this.#warn = warn;
  }

  /** Resolves after the first try, whatever its outcome; the others go on in the background. */
  async settle(request: () => Promise<unknown>, ttl: number): Promise<void> {
    const deadline = this.#clock.now() + ttl;
    this.#open++;
    try {
      await request();
      this.#refusal = undefined;
    } catch (error) {
      this.#open++;
      void this.#repeat(request, deadline, error, ttl).finally(() => this.#settled());
    } finally {
      this.#settled();
    }
  }

  /** Resolves when all that is under way is settled. */
  all(): Promise<void> {
    if (this.#open === 0) return Promise.resolve();
    return new Promise((resolve) => (this.#onSettled = resolve));
  }

  #settled(): void {
    if (--this.#open === 0) this.#onSettled?.();
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
    if (error instanceof LockConfigError) this.#refused(error);
  }

  #refused({ message }: LockConfigError): void {
    if (message === this.#refusal) return;
    this.#refusal = message;
    this.#warn(`The store refuses to take a lock back; it stays taken until its TTL has run out. ${message}`);
  }
}
