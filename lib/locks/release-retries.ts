import { backoff } from '../core/backoff.js';
import type { Clock, Random } from '../core/clock.js';
import type { Milliseconds } from '../core/duration.js';
import { LockConfigError } from '../core/errors.js';
import { Outages } from './outages.js';
import type { RequestGate } from './request-gate.js';

export type Warn = (message: string) => void;

export interface ReleaseRetriesContext {
  readonly clock: Clock;
  readonly random: Random;
  readonly gate: RequestGate;
  readonly warn: Warn;
}

interface PendingRelease {
  readonly request: () => Promise<unknown>;
  /** The part of the store that the lease is in, which can be down by itself. */
  readonly part: number;
  readonly ttl: Milliseconds;
  readonly deadline: number;
  /** Probes aside. */
  tries: number;
}

/**
 * Requests that give a lease or a claim back to the store.
 *
 * 1. Each is repeated until it was answered, or until the lease must have run out by itself.
 * 2. The caller waits for the first try only; where the store is known to be down, not even for that.
 * 3. A request that the store refuses for good is not repeated. The refusal is reported once, until a request succeeds.
 */
export class ReleaseRetries {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #gate: RequestGate;
  readonly #warn: Warn;
  readonly #outages: Outages<PendingRelease>;
  #refusal: string | undefined;
  #open = 0;
  #onSettled: (() => void) | undefined;

  constructor({ clock, random, gate, warn }: ReleaseRetriesContext) {
    this.#clock = clock;
    this.#gate = gate;
    this.#warn = warn;
    this.#random = random;
    this.#outages = new Outages<PendingRelease>(clock, random, {
      wanted: (releases) => releases.filter((release) => this.#isWanted(release)),
      probe: (release) => void this.#try(release, true),
      again: (releases) => {
        for (const release of releases) this.#again(release);
      },
    });
  }

  /** Resolves after the first try, whatever its outcome; the others go on in the background. */
  settle(request: () => Promise<unknown>, ttl: Milliseconds, part = 0): Promise<void> {
    this.#open++;
    const release = { request, part, ttl, deadline: this.#clock.now() + ttl, tries: 0 };
    return this.#try(release, false);
  }

  /** The store may answer again. */
  retry(): void {
    this.#outages.end();
  }

  /** Resolves when all that is under way is settled. */
  all(): Promise<void> {
    if (this.#open === 0) return Promise.resolve();
    return new Promise((resolve) => (this.#onSettled = resolve));
  }

  #settled(): void {
    if (--this.#open === 0) this.#onSettled?.();
  }

  async #try(release: PendingRelease, isProbe: boolean): Promise<void> {
    const { request, part } = release;
    try {
      await this.#gate.sendUrgent(() => {
        // The store may have turned out to be down while this request stood at the gate.
        if (!isProbe && this.#outages.isDown(part)) throw this.#outages.causeOf(part);
        if (!isProbe) release.tries++;
        return request();
      });
      this.#refusal = undefined;
    } catch (error) {
      if (!(error instanceof LockConfigError)) return this.#failed(release, error);
      this.#refused(error);
    }
    this.#settled();
    this.#outages.answered(part);
  }

  #failed(release: PendingRelease, cause: unknown): void {
    if (this.#isWanted(release)) this.#outages.add(release.part, release, firstDelay(release), cause);
    else this.#outages.failed();
  }

  /** The part of the store answers: a request that fails nevertheless waits by itself. */
  #again(release: PendingRelease): void {
    const { tries } = release;
    if (tries <= 1) return void this.#try(release, false);
    const delay = backoff(tries - 1, firstDelay(release), 1000, this.#random);
    this.#clock.after(delay, () => {
      if (this.#isWanted(release)) void this.#try(release, false);
    });
  }

  /** False once the TTL has run out in the store: nothing is left to give back. */
  #isWanted({ deadline }: PendingRelease): boolean {
    if (this.#clock.now() < deadline) return true;
    this.#settled();
    return false;
  }

  #refused({ message }: LockConfigError): void {
    if (message === this.#refusal) return;
    this.#refusal = message;
    this.#warn(`The store refuses to release a lock; the lock stays taken until its TTL has run out. ${message}`);
  }
}

function firstDelay({ ttl }: PendingRelease): Milliseconds {
  return Math.min(100, ttl / 12);
}
