import type { Clock } from '../../../core/clock.js';
import { DriverUnavailableError } from '../../../core/errors.js';
import type { LeaseRef, RenewOutcome } from '../../../core/lock-driver.js';
import type { KeepAlives } from '../client/keep-alives.js';
import type { LeasePool } from './lease-pool.js';
import { type QueuedClaim, timeoutOf } from './queued-claim.js';
import type { Queues } from './queues.js';
import { secondsOf } from './store-lease.js';

/**
 * Keeps the leases of held places alive. A renewal is a keep-alive for each, all over one stream, and one linearizable
 * read for many, which proves the keep-alives and shows whether the places are still there and how many wait.
 */
export class Renewals {
  readonly #lines: Queues;
  readonly #pool: LeasePool;
  readonly #keepAlives: KeepAlives;
  readonly #clock: Clock;
  readonly #gone: (place: QueuedClaim) => void;

  constructor(
    lines: Queues,
    pool: LeasePool,
    keepAlives: KeepAlives,
    clock: Clock,
    gone: (place: QueuedClaim) => void,
  ) {
    this.#lines = lines;
    this.#pool = pool;
    this.#keepAlives = keepAlives;
    this.#clock = clock;
    this.#gone = gone;
  }

  async renew(
    leases: readonly LeaseRef[],
    placeOf: (holder: string) => QueuedClaim | undefined,
  ): Promise<readonly RenewOutcome[]> {
    const places = await Promise.all(leases.map((lease) => this.#fitting(lease, placeOf(lease.holder))));
    const timeout = timeoutOf(Math.min(...leases.map(({ ttl }) => ttl)));
    const sentAt = this.#clock.now();
    const alive = await Promise.all(places.map(async (place) => place && this.#keepAlive(place, sentAt, timeout)));
    const held = places.filter((place, index): place is QueuedClaim => place !== undefined && alive[index] === true);
    const behind = await this.#lines.waitersOf(held, timeout);
    if (held.some(({ lease, claim }) => lease.until < sentAt + claim.ttl)) {
      throw new DriverUnavailableError('The leader of etcd changed during a renewal.', { sent: true });
    }
    const waiters = new Map(held.map((place, index) => [place, behind[index]]));
    return places.map((place): RenewOutcome => {
      const count = place && waiters.get(place);
      if (count !== undefined) return { waiters: count };
      if (place) this.#gone(place);
      return 'gone';
    });
  }

  /** The held place, on a lease of this TTL. */
  async #fitting({ ttl }: LeaseRef, place: QueuedClaim | undefined): Promise<QueuedClaim | undefined> {
    if (!place || secondsOf(place.claim.ttl) === secondsOf(ttl)) return place;
    const { lease: former, claim } = place;
    const lease = await this.#pool.take(ttl, timeoutOf(ttl));
    const moved = await this.#lines.moveTo(lease, place, ttl, timeoutOf(ttl)).catch((error: unknown) => {
      this.#pool.discard(lease);
      throw error;
    });
    if (!moved) {
      this.#pool.discard(lease);
      return place;
    }
    place.lease = lease;
    place.claim = { ...claim, ttl };
    if (place.isUncertain) this.#pool.discard(former);
    else this.#pool.giveBack(claim.ttl, former);
    return place;
  }

  async #keepAlive({ lease }: QueuedClaim, sentAt: number, timeout: number): Promise<boolean> {
    return lease.keptAlive(sentAt, await this.#keepAlives.send(lease.id, timeout));
  }
}
