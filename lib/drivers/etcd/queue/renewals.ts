import type { Clock } from '../../../core/clock.js';
import { DriverUnavailableError } from '../../../core/errors.js';
import type { LeaseRef, RenewOutcome } from '../../../core/lock-driver.js';
import type { KeepAlives } from '../client/keep-alives.js';
import type { LeasePool } from './lease-pool.js';
import { type QueuedClaim, timeoutOf } from './queued-claim.js';
import type { Queues } from './queues.js';
import { secondsOf } from './store-lease.js';

/**
 * Renews claims that hold their locks:
 *
 * 1. One keep-alive for each lease, all over one stream.
 * 2. One linearizable read for many claims. It proves the keep-alives, shows whether the keys are still there, and counts
 *    the waiters.
 * 3. Where a keep-alive is not proven, the outcome of the renewal is unknown.
 */
export class Renewals {
  readonly #queues: Queues;
  readonly #pool: LeasePool;
  readonly #keepAlives: KeepAlives;
  readonly #clock: Clock;
  readonly #gone: (queued: QueuedClaim) => void;

  constructor(
    queues: Queues,
    pool: LeasePool,
    keepAlives: KeepAlives,
    clock: Clock,
    gone: (queued: QueuedClaim) => void,
  ) {
    this.#queues = queues;
    this.#pool = pool;
    this.#keepAlives = keepAlives;
    this.#clock = clock;
    this.#gone = gone;
  }

  async renew(
    leases: readonly LeaseRef[],
    claimOf: (holder: string) => QueuedClaim | undefined,
  ): Promise<readonly RenewOutcome[]> {
    const claims = await Promise.all(leases.map((lease) => this.#fitting(lease, claimOf(lease.holder))));
    const timeout = timeoutOf(Math.min(...leases.map(({ ttl }) => ttl)));
    const sentAt = this.#clock.now();
    const alive = await Promise.all(claims.map(async (queued) => queued && this.#keepAlive(queued, sentAt, timeout)));
    const held = claims.filter((queued, index): queued is QueuedClaim => queued !== undefined && alive[index] === true);
    const behind = await this.#queues.waitersOf(held, timeout);
    if (held.some(({ lease, claim }) => lease.until < sentAt + claim.ttl)) {
      throw new DriverUnavailableError('The leader of etcd changed during a renewal.', { sent: true });
    }
    const waiters = new Map(held.map((queued, index) => [queued, behind[index]]));
    return claims.map((queued): RenewOutcome => {
      const count = queued && waiters.get(queued);
      if (count !== undefined) return { waiters: count };
      if (queued) this.#gone(queued);
      return 'gone';
    });
  }

  /** Moves a claim to a lease of this TTL, where its lease has another one. */
  async #fitting({ ttl }: LeaseRef, queued: QueuedClaim | undefined): Promise<QueuedClaim | undefined> {
    if (!queued || secondsOf(queued.claim.ttl) === secondsOf(ttl)) return queued;
    const { lease: former, claim } = queued;
    const lease = await this.#pool.take(ttl, timeoutOf(ttl));
    const moved = await this.#queues.moveTo(lease, queued, ttl, timeoutOf(ttl)).catch((error: unknown) => {
      this.#pool.discard(lease);
      throw error;
    });
    if (!moved) {
      this.#pool.discard(lease);
      return queued;
    }
    queued.lease = lease;
    queued.claim = { ...claim, ttl };
    if (queued.isUncertain) this.#pool.discard(former);
    else this.#pool.giveBack(claim.ttl, former);
    return queued;
  }

  async #keepAlive({ lease }: QueuedClaim, sentAt: number, timeout: number): Promise<boolean> {
    return lease.keptAlive(sentAt, await this.#keepAlives.send(lease.id, timeout));
  }
}
