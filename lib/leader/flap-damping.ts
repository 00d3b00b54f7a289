import { backoff } from '../core/backoff.js';
import type { Random } from '../core/clock.js';
import type { Milliseconds } from '../core/duration.js';

/** Lease durations after which a term is stable: the instance can lead. */
export const STABLE_AFTER = 4;
/** The longest rest. A longer `retryPeriod` takes its place. */
export const LONGEST_REST: Milliseconds = 60_000;

/**
 * Keeps an instance that loses one term after the other, or whose code fails in each, from taking every turn:
 *
 * 1. The first such end is followed by no rest.
 * 2. The second is followed by a rest of at most a `retryPeriod`. The limit doubles with each further one, up to a minute.
 * 3. A stable term begins the count again.
 */
export class FlapDamping {
  readonly #stable: Milliseconds;
  readonly #retryPeriod: Milliseconds;
  readonly #random: Random;
  #flaps = 0;

  constructor(settings: { readonly leaseDuration: Milliseconds; readonly retryPeriod: Milliseconds }, random: Random) {
    this.#stable = STABLE_AFTER * settings.leaseDuration;
    this.#retryPeriod = settings.retryPeriod;
    this.#random = random;
  }

  /**
   * The time to stay out after a term.
   *
   * @param flapped the lease was lost or a callback failed: nobody wanted the end
   */
  restAfter(lasted: Milliseconds, flapped: boolean): Milliseconds {
    if (lasted >= this.#stable) this.#flaps = 0;
    if (!flapped) return 0;
    const earlier = this.#flaps++;
    if (earlier === 0) return 0;
    return backoff(earlier - 1, this.#retryPeriod, Math.max(LONGEST_REST, this.#retryPeriod), this.#random);
  }
}
