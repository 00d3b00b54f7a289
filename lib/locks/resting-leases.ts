import type { Clock } from '../core/clock.js';
import { Deadlines } from '../core/deadlines.js';
import type { Timed } from '../core/heap.js';
import type { Claim, LockDriver } from '../core/lock-driver.js';
import { driftMargin } from '../core/validity.js';

interface RestingLease extends Timed {
  readonly release: () => void;
}

/**
 * Leases whose work ended before `holdAtLeast` was over. A lease rests until then: nobody uses it, and nobody else gets
 * the key.
 *
 * 1. One last renewal arms the lease for the rest. The store ends the lease in time, also when this process ends first.
 * 2. At the end of the rest the lease is released, so that the next waiter gets it at once.
 * 3. A last renewal that fails is repeated. Meanwhile the lease lasts as long as its renewal before that one says: for a
 *    TTL, which is never shorter than `holdAtLeast`.
 */
export class RestingLeases {
  readonly #driver: LockDriver;
  readonly #clock: Clock;
  readonly #resting: Deadlines<RestingLease>;

  constructor(driver: LockDriver, clock: Clock) {
    this.#driver = driver;
    this.#clock = clock;
    this.#resting = new Deadlines(clock, ({ release }) => release());
  }

  /** @param release called at the end of the rest, unless this is closed first */
  add(until: number, release: () => void): void {
    this.#resting.add({ deadline: until, place: undefined, release }, this.#clock.now());
  }

  /** The last renewal. It may be repeated, and does nothing once the rest is over. */
  async arm({ key, holder, ttl }: Claim, until: number): Promise<void> {
    const rest = until - this.#clock.now();
    if (rest <= 0) return;
    // The clock of the store may run a little faster than ours.
    const armed = Math.max(this.#driver.capabilities.minTtl, Math.ceil(rest) + driftMargin(rest));
    const [outcome] = await this.#driver.renew([{ key, holder, ttl: Math.min(ttl, armed) }]);
    if (outcome === 'unknown') throw new Error('Too few servers answered for this lease.');
  }

  /** The leases that rest end by themselves, in the store. */
  close(): void {
    for (const lease of this.#resting.items()) this.#resting.remove(lease);
  }
}
