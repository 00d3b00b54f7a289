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
import { EndedHolders } from '../../common/ended-holders.js';
import { LeaseGoneError } from '../client/call-errors.js';
import type { KeepAlives } from '../client/keep-alives.js';
import type { Watches } from '../client/watches.js';
import type { HandOvers } from './hand-overs.js';
import type { LeasePool } from './lease-pool.js';
import { OwnClaims } from './own-claims.js';
import { QueuedClaim, timeoutOf } from './queued-claim.js';
import type { Queues } from './queues.js';
import { Renewals } from './renewals.js';
import { Waiters } from './waiters.js';

export interface ClaimsContext {
  readonly queues: Queues;
  readonly handOvers: HandOvers;
  readonly pool: LeasePool;
  readonly keepAlives: KeepAlives;
  readonly watches: Watches;
  readonly clock: Clock;
  readonly notify: DriverListener;
}

/**
 * The claims of this driver in the queues of their locks.
 *
 * 1. A claim is bound to one lease of etcd.
 * 2. A cancel revokes that lease, so a request of the claim that arrives later fails (S6).
 * 3. After a clean release nothing is attached to the lease. It then serves the next claim.
 */
export class Claims {
  readonly #context: ClaimsContext;
  readonly #own: OwnClaims;
  readonly #waiters: Waiters;
  readonly #renewals: Renewals;
  readonly #ended: EndedHolders;

  constructor(context: ClaimsContext) {
    const { queues, pool, keepAlives, watches, clock, notify } = context;
    this.#context = context;
    this.#own = new OwnClaims(pool, clock);
    this.#ended = new EndedHolders(clock);
    this.#renewals = new Renewals(queues, pool, keepAlives, clock, (queued) => {
      // After a release the lease may serve another claim.
      if (queued.status === 'held') this.#own.drop(queued);
    });
    const mustAsk = ({ claim: { key } }: QueuedClaim): void => notify({ type: 'freed', key });
    this.#waiters = new Waiters(queues, keepAlives, watches, clock, {
      granted: (queued) => void this.#notifyGranted(queued).catch(() => mustAsk(queued)),
      lost: (queued) => this.#own.drop(queued),
      mustAsk,
      abandoned: (queued) => void this.#giveUp(queued),
    });
  }

  async acquire(claim: Claim, mode: AcquireMode): Promise<Granted | Refused | Queued> {
    const askedAt = this.#context.clock.now();
    for (let attempt = 1; ; attempt++) {
      if (this.#ended.has(claim.holder)) return { status: 'refused', record: null };
      const queued = this.#own.get(claim.holder) ?? (await this.#newClaim(claim, askedAt));
      queued.askedAt = askedAt;
      const answer = await this.#ask(queued, claim, mode);
      if (answer) return answer;
      this.#own.drop(queued);
      if (attempt < 3) continue;
      throw new DriverUnavailableError(
        `The etcd leases for "${claim.key}" end before they can be used. Give the lock a longer TTL, and look for slow disks of etcd.`,
        { sent: true },
      );
    }
  }

  async cancel(claim: Claim): Promise<void> {
    this.#ended.add(claim.holder);
    const queued = this.#own.get(claim.holder);
    if (!queued) return;
    this.#own.end(queued);
    await this.#own.orExpired(queued, this.#context.pool.revoke(queued.lease, timeoutOf(claim.ttl)));
    this.#own.forget(queued);
  }

  renew(leases: readonly LeaseRef[]): Promise<readonly RenewOutcome[]> {
    return this.#renewals.renew(leases, (holder) => this.#own.held(holder));
  }

  async release({ holder, ttl }: LeaseRef, to: string | undefined): Promise<boolean> {
    const { queues, handOvers, pool } = this.#context;
    const queued = this.#own.held(holder);
    if (!queued) return false;
    const timeout = timeoutOf(ttl);
    const given = to === undefined ? Promise.resolve(false) : handOvers.give(queued, to, timeout);
    const giving = given.then((wasGiven) => wasGiven || queues.leave(queued, timeout));
    const wasOurs = await this.#own.orExpired(queued, giving);
    // A renewal may have ended the claim meanwhile.
    const isReusable = wasOurs && queued.status === 'held' && !queued.isUncertain;
    this.#own.forget(queued);
    if (isReusable) pool.giveBack(queued.claim.ttl, queued.lease);
    else pool.discard(queued.lease);
    return wasOurs;
  }

  async reserve({ holder, ttl }: LeaseRef): Promise<number | undefined> {
    const queued = this.#own.held(holder);
    return queued && this.#context.queues.reserve(queued, timeoutOf(ttl));
  }

  close(): void {
    this.#own.close();
  }

  async #newClaim(claim: Claim, askedAt: number): Promise<QueuedClaim> {
    const { pool } = this.#context;
    const lease = await pool.take(claim.ttl, timeoutOf(claim.ttl));
    const queued = this.#own.get(claim.holder) ?? new QueuedClaim(claim, lease, askedAt);
    if (queued.lease !== lease) pool.giveBack(claim.ttl, lease);
    else this.#own.add(queued);
    return queued;
  }

  /** Undefined when the claim or its lease turned out to be gone: the claim may begin again. */
  async #ask(queued: QueuedClaim, claim: Claim, mode: AcquireMode): Promise<Granted | Refused | Queued | undefined> {
    // The claim was given back. Perhaps etcd still has to hear of it.
    if (queued.status === 'over') return { status: 'refused', record: null };
    if (this.#ended.has(claim.holder)) {
      this.#own.drop(queued);
      return { status: 'refused', record: null };
    }
    if (queued.status === 'held') {
      const [outcome] = await this.renew([claim]);
      if (typeof outcome !== 'object') return undefined;
      return this.#granted(queued, outcome.waiters);
    }
    if (queued.status === 'waiting') await this.#waiters.askAgain(queued);
    else await this.#enter(queued, mode);
    return this.#answer(queued);
  }

  #answer(queued: QueuedClaim): Granted | Refused | Queued | undefined | Promise<Granted | undefined> {
    const { record, status, waiters } = queued;
    if (status === 'held') return this.#granted(queued, waiters);
    if (status === 'waiting') return { status: 'queued', record };
    if (status === 'lost') return undefined;
    if (status === 'refused') this.#own.leaveUnused(queued);
    return { status: 'refused', record };
  }

  async #enter(queued: QueuedClaim, mode: AcquireMode): Promise<void> {
    const { queues } = this.#context;
    try {
      const outcome = await queues.enter(queued, mode === 'queue', timeoutOf(queued.claim.ttl));
      this.#waiters.take(queued, outcome);
      // Only the first waiter leaves a note. Each renewal counts the others.
      const isFirst = outcome.status === 'waiting' && outcome.count === 2;
      if (isFirst) void queues.notifyContended(queued.claim.key, outcome.owner).catch(() => undefined);
    } catch (error) {
      if (error instanceof LeaseGoneError) return this.#waiters.take(queued, { status: 'lost' });
      if (error instanceof DriverUnavailableError && error.sent) queued.isUncertain = true;
      else if (queued.status === 'new' && !queued.isUncertain) this.#own.leaveUnused(queued);
      throw error;
    }
  }

  /** The TTL of a grant is the rest of the lease, counted from the request of the core (S1). */
  async #granted(queued: QueuedClaim, waiters: number): Promise<Granted | undefined> {
    const { lease, claim, token: fencingToken } = queued;
    if (lease.until - queued.askedAt < claim.ttl / 2) {
      const [outcome] = await this.renew([claim]);
      if (outcome === 'gone') return undefined;
    }
    const ttl = Math.min(claim.ttl, Math.floor(lease.until - queued.askedAt));
    return { status: 'granted', fencingToken, tokens: 1, waiters, ttl };
  }

  async #notifyGranted(queued: QueuedClaim): Promise<void> {
    const { key, holder } = queued.claim;
    const granted = await this.#granted(queued, queued.waiters);
    if (granted && queued.status === 'held') this.#context.notify({ ...granted, type: 'granted', key, holder });
  }

  /** Passes on the lock to another waiting claim of this instance, if a holder gave it to the instance. */
  async #giveUp(queued: QueuedClaim): Promise<void> {
    const { handOvers, pool } = this.#context;
    this.#own.forget(queued);
    // Where no other claim waits, the lock falls with the lease to the next waiter.
    await handOvers.passOn(queued, timeoutOf(queued.claim.ttl)).catch(() => false);
    pool.discard(queued.lease);
  }
}
