import type { Clock } from '../../../core/clock.js';
import type { LeasePool } from './lease-pool.js';
import type { QueuedClaim } from './queued-claim.js';

/**
 * The claims of this driver by holder, and their end:
 *
 * 1. A lease to which nothing is attached, and nothing can be attached any more, goes back to the pool.
 * 2. Any other lease is revoked, and the keys that are attached to it go with it.
 */
export class OwnClaims {
  readonly #pool: LeasePool;
  readonly #clock: Clock;
  readonly #byHolder = new Map<string, QueuedClaim>();

  constructor(pool: LeasePool, clock: Clock) {
    this.#pool = pool;
    this.#clock = clock;
  }

  get(holder: string): QueuedClaim | undefined {
    return this.#byHolder.get(holder);
  }

  held(holder: string): QueuedClaim | undefined {
    const queued = this.#byHolder.get(holder);
    return queued?.status === 'held' ? queued : undefined;
  }

  add(queued: QueuedClaim): void {
    this.#byHolder.set(queued.claim.holder, queued);
  }

  /** The claim wants nothing any more. It stays known while it is being given back. */
  end(queued: QueuedClaim): void {
    queued.ending?.cancel();
    queued.ending = undefined;
    queued.status = 'over';
    queued.stopWatching();
  }

  /** Ends a claim and forgets it. Its lease is left to the caller. */
  forget(queued: QueuedClaim): void {
    this.end(queued);
    const { holder } = queued.claim;
    if (this.#byHolder.get(holder) === queued) this.#byHolder.delete(holder);
  }

  /** Ends and forgets a claim, and revokes its lease. */
  drop(queued: QueuedClaim): void {
    this.forget(queued);
    this.#pool.discard(queued.lease);
  }

  /** Ends and forgets a claim. Its lease serves another claim, unless a request with an unknown outcome may use it. */
  leaveUnused(queued: QueuedClaim): void {
    if (queued.isUncertain) return this.drop(queued);
    this.forget(queued);
    this.#pool.giveBack(queued.claim.ttl, queued.lease);
  }

  /**
   * Waits until a claim is given back. A claim that could not be given back is forgotten when its lease ends: the core
   * repeats the request for the TTL of the claim only, and the lease may last longer.
   */
  async orExpired<T>(queued: QueuedClaim, giving: Promise<T>): Promise<T> {
    try {
      return await giving;
    } catch (error) {
      const clock = this.#clock;
      if (this.#byHolder.get(queued.claim.holder) === queued) {
        queued.ending ??= clock.after(queued.lease.until - clock.now(), () => this.drop(queued));
      }
      throw error;
    }
  }

  close(): void {
    for (const queued of this.#byHolder.values()) this.end(queued);
    this.#byHolder.clear();
  }
}
