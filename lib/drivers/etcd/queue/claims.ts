import type { Clock } from '../../../core/clock.js';
import { DriverUnavailableError } from '../../../core/errors.js';
import type {
  AcquireMode,
  Claim,
  DriverListener,
  Granted,
  LeaseRef,
  Queued,
  Refused,
  RenewOutcome,
} from '../../../core/lock-driver.js';
import { LeaseGoneError } from '../client/call-errors.js';
import type { KeepAlives } from '../client/keep-alives.js';
import type { Watches } from '../client/watches.js';
import { EndedHolders } from './ended-holders.js';
import type { HandOvers } from './hand-overs.js';
import type { LeasePool } from './lease-pool.js';
import { QueuedClaim, timeoutOf } from './queued-claim.js';
import type { Queues } from './queues.js';
import { Renewals } from './renewals.js';
import { Waiters } from './waiters.js';

export interface ClaimsContext {
  readonly lines: Queues;
  readonly handOvers: HandOvers;
  readonly pool: LeasePool;
  readonly keepAlives: KeepAlives;
  readonly watches: Watches;
  readonly clock: Clock;
  readonly tell: DriverListener;
}

/**
 * The claims of this driver and the places that they have in the lines of their locks.
 *
 * A claim is bound to one lease. A cancel ends that lease, so that a request of the claim which arrives later fails;
 * after a clean release the lease, with nothing attached to it, serves the next claim.
 */
export class Claims {
  readonly #context: ClaimsContext;
  readonly #waiting: Waiters;
  readonly #renewals: Renewals;
  readonly #places = new Map<string, QueuedClaim>();
  readonly #ended: EndedHolders;

  constructor(context: ClaimsContext) {
    const { lines, pool, keepAlives, watches, clock, tell } = context;
    this.#context = context;
    this.#ended = new EndedHolders(clock);
    this.#renewals = new Renewals(lines, pool, keepAlives, clock, (place) => {
      // Answered after a release, it says nothing of the lease, which may serve another claim by now.
      if (place.status === 'held') this.#drop(place);
    });
    this.#waiting = new Waiters(lines, keepAlives, watches, clock, {
      granted: (place) => void this.#tellGranted(place).catch(() => undefined),
      lost: (place) => {
        this.#drop(place);
        tell({ type: 'freed', key: place.claim.key });
      },
      abandoned: (place) => void this.#giveUp(place),
    });
  }

  async acquire(claim: Claim, mode: AcquireMode): Promise<Granted | Refused | Queued> {
    const askedAt = this.#context.clock.now();
    for (let attempt = 1; ; attempt++) {
      if (this.#ended.has(claim.holder)) return { status: 'refused', record: null };
      const place = this.#places.get(claim.holder) ?? (await this.#newPlace(claim, askedAt));
      place.askedAt = askedAt;
      const answer = await this.#ask(place, claim, mode);
      if (answer) return answer;
      this.#drop(place);
      if (attempt < 3) continue;
      throw new DriverUnavailableError(
        `The etcd leases for "${claim.key}" end before they can be used. Give the lock a longer TTL, and look for slow disks of etcd.`,
        { sent: true },
      );
    }
  }

  async cancel(claim: Claim): Promise<void> {
    this.#ended.add(claim.holder);
    const place = this.#places.get(claim.holder);
    if (!place) return;
    this.#end(place);
    await this.#orExpired(place, this.#context.pool.revoke(place.lease, timeoutOf(claim.ttl)));
    this.#places.delete(claim.holder);
  }

  renew(leases: readonly LeaseRef[]): Promise<readonly RenewOutcome[]> {
    return this.#renewals.renew(leases, (holder) => this.#held(holder));
  }

  async release({ holder, ttl }: LeaseRef, to: string | undefined): Promise<boolean> {
    const { lines, handOvers, pool } = this.#context;
    const place = this.#held(holder);
    if (!place) return false;
    const timeout = timeoutOf(ttl);
    const given = to === undefined ? Promise.resolve(false) : handOvers.give(place, to, timeout);
    const giving = given.then((wasGiven) => wasGiven || lines.leave(place, timeout));
    const wasOurs = await this.#orExpired(place, giving);
    // A renewal may have ended the lease meanwhile.
    const isReusable = wasOurs && place.status === 'held' && !place.isUncertain;
    this.#end(place);
    this.#places.delete(holder);
    if (isReusable) pool.giveBack(place.claim.ttl, place.lease);
    else pool.discard(place.lease);
    return wasOurs;
  }

  async reserve({ holder, ttl }: LeaseRef): Promise<number | undefined> {
    const place = this.#held(holder);
    return place && this.#context.lines.reserve(place, timeoutOf(ttl));
  }

  close(): void {
    for (const place of this.#places.values()) this.#end(place);
    this.#places.clear();
  }

  #held(holder: string): QueuedClaim | undefined {
    const place = this.#places.get(holder);
    return place?.status === 'held' ? place : undefined;
  }

  async #newPlace(claim: Claim, askedAt: number): Promise<QueuedClaim> {
    const { pool } = this.#context;
    const lease = await pool.take(claim.ttl, timeoutOf(claim.ttl));
    const place = this.#places.get(claim.holder) ?? new QueuedClaim(claim, lease, askedAt);
    if (place.lease !== lease) pool.giveBack(claim.ttl, lease);
    else this.#places.set(claim.holder, place);
    return place;
  }

  /** Undefined when the place or its lease turned out to be gone: the claim may begin anew. */
  async #ask(place: QueuedClaim, claim: Claim, mode: AcquireMode): Promise<Granted | Refused | Queued | undefined> {
    // Given back, though etcd may not know it yet.
    if (place.status === 'over') return { status: 'refused', record: null };
    if (this.#ended.has(claim.holder)) {
      this.#drop(place);
      return { status: 'refused', record: null };
    }
    if (place.status === 'held') {
      const [outcome] = await this.renew([claim]);
      if (typeof outcome !== 'object') return undefined;
      return this.#granted(place, outcome.waiters);
    }
    if (place.status === 'waiting') await this.#waiting.askAgain(place);
    else await this.#enter(place, mode);
    return this.#answer(place);
  }

  #answer(place: QueuedClaim): Granted | Refused | Queued | undefined | Promise<Granted | undefined> {
    const { record, status, waiters } = place;
    if (status === 'held') return this.#granted(place, waiters);
    if (status === 'waiting') return { status: 'queued', record };
    if (status === 'lost') return undefined;
    if (status === 'refused') this.#leaveUnused(place);
    return { status: 'refused', record };
  }

  async #enter(place: QueuedClaim, mode: AcquireMode): Promise<void> {
    const { lines } = this.#context;
    try {
      const outcome = await lines.enter(place, mode === 'queue', timeoutOf(place.claim.ttl));
      this.#waiting.take(place, outcome);
      // The first who waits says so; the others are counted in the answer to each renewal.
      const isFirst = outcome.status === 'waiting' && outcome.count === 2;
      if (isFirst) void lines.tellContended(place.claim.key, outcome.owner).catch(() => undefined);
    } catch (error) {
      if (error instanceof LeaseGoneError) return this.#waiting.take(place, { status: 'lost' });
      if (error instanceof DriverUnavailableError && error.sent) place.isUncertain = true;
      else if (place.status === 'new' && !place.isUncertain) this.#leaveUnused(place);
      throw error;
    }
  }

  /** What is left of the lease counts from the request of the core, whose clock measures it. */
  async #granted(place: QueuedClaim, waiters: number): Promise<Granted | undefined> {
    const { lease, claim, token: fencingToken } = place;
    if (lease.until - place.askedAt < claim.ttl / 2) {
      const [outcome] = await this.renew([claim]);
      if (outcome === 'gone') return undefined;
    }
    const ttl = Math.min(claim.ttl, Math.floor(lease.until - place.askedAt));
    return { status: 'granted', fencingToken, tokens: 1, waiters, ttl };
  }

  async #tellGranted(place: QueuedClaim): Promise<void> {
    const { key, holder } = place.claim;
    const granted = await this.#granted(place, place.waiters);
    if (granted && place.status === 'held') this.#context.tell({ ...granted, type: 'granted', key, holder });
  }

  /** A place that nothing is known to have been attached to. */
  #leaveUnused(place: QueuedClaim): void {
    if (place.isUncertain) return this.#drop(place);
    this.#end(place);
    this.#places.delete(place.claim.holder);
    this.#context.pool.giveBack(place.claim.ttl, place.lease);
  }

  /**
   * A place that could not be given back is forgotten when its lease has ended. Those who repeat the request do so for
   * the TTL of the claim only, and the lease may last longer.
   */
  async #orExpired<T>(place: QueuedClaim, giving: Promise<T>): Promise<T> {
    try {
      return await giving;
    } catch (error) {
      const { clock } = this.#context;
      if (this.#places.get(place.claim.holder) === place) {
        place.ending ??= clock.after(place.lease.until - clock.now(), () => this.#drop(place));
      }
      throw error;
    }
  }

  /** What the holder gave to our instance goes to another claim of it that waits, if there is one. */
  async #giveUp(place: QueuedClaim): Promise<void> {
    const { handOvers, pool } = this.#context;
    this.#forget(place);
    // If nobody does, it falls with the lease to whoever is next.
    await handOvers.passOn(place, timeoutOf(place.claim.ttl)).catch(() => false);
    pool.discard(place.lease);
  }

  /** Forgets a place, and ends its lease. */
  #drop(place: QueuedClaim): void {
    this.#forget(place);
    this.#context.pool.discard(place.lease);
  }

  #forget(place: QueuedClaim): void {
    this.#end(place);
    if (this.#places.get(place.claim.holder) === place) this.#places.delete(place.claim.holder);
  }

  #end(place: QueuedClaim): void {
    place.ending?.cancel();
    place.ending = undefined;
    place.status = 'over';
    place.stopWatching();
  }
}
