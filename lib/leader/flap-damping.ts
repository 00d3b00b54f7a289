import { backoff } from '../core/backoff.js';
import type { Random } from '../core/clock.js';

/** A term that lasts this many lease durations shows that the instance can lead. */
export const STABLE_AFTER = 4;
/** The longest that an instance stays out of an election, in milliseconds; a longer `retryPeriod` is longer. */
export const LONGEST_REST = 60_000;

/**
 * Keeps an instance that loses one term after the other, or whose code fails in each, from taking every turn. The
 * first such end costs nothing, each further one twice as long a rest, from `retryPeriod` up to a minute, until a term
 * was stable.
 */
export class FlapDamping {
  readonly #stable: number;
  readonly #retryPeriod: number;
  readonly #random: Random;
  #flaps = 0;

  constructor(settings: { readonly leaseDuration: number; readonly retryPeriod: number }, random: Random) {
    this.#stable = STABLE_AFTER * settings.leaseDuration;
    this.#retryPeriod = settings.retryPeriod;
    this.#random = random;
  }

  /** Milliseconds to stay out after a term of such a length; `flapped`: it did not end because somebody wanted so. */
  restAfter(lasted: number, flapped: boolean): number {
    if (lasted >= this.#stable) this.#flaps = 0;
    if (!flapped) return 0;
    const earlier = this.#flaps++;
    if (earlier === 0) return 0;
    return backoff(earlier - 1, this.#retryPeriod, Math.max(LONGEST_REST, this.#retryPeriod), this.#random);
  }
}
