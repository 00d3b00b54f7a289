import type { Timer } from '../../../core/clock.js';
import type { Claim, LockRecord } from '../../../core/lock-driver.js';
import type { Compare, KeyValue } from '../client/messages.js';
import { claimKey } from '../names.js';
import type { StoredClaim } from './records.js';
import type { StoreLease } from './store-lease.js';

/**
 * One claim of this driver in the queue of its lock: a key that lives as long as its lease. The oldest key of a queue is
 * the holder's. The fencing token is the revision of the write in which the claim found that it is the oldest (S7).
 */
export class QueuedClaim {
  claim: Claim;
  lease: StoreLease;
  /** Its own key, or the key of a holder that gave the lock to this claim. */
  key: string;
  /** Undefined until the key is known to exist. */
  createRevision: number | undefined;
  status: 'new' | 'waiting' | 'held' | 'refused' | 'lost' | 'over' = 'new';
  /** Zero until the claim holds the lock. */
  token = 0;
  /** Wall-clock time of the last write by which it could become the holder. */
  since = 0;
  /** The claims behind it at the last look. */
  waiters = 0;
  /** A request has an unknown outcome. It may still be executed for as long as the lease exists. */
  isUncertain = false;
  /** The time of the last request of the core. */
  askedAt: number;
  /** The record of the holder at the last look. */
  record: LockRecord | null = null;
  /** The look into the store that is under way. */
  looking: Promise<void> | undefined;
  /** Forgets a claim that could not be given back at the end of its lease. */
  ending: Timer | undefined;
  /** The key in front that is watched, besides its own; `unwatch` ends both. */
  inFront: string | undefined;
  unwatch: (() => void) | undefined;

  /** The key under which it entered the queue. */
  readonly ownKey: string;

  constructor(claim: Claim, lease: StoreLease, askedAt: number) {
    this.claim = claim;
    this.lease = lease;
    this.askedAt = askedAt;
    this.ownKey = claimKey(claim.key, claim.holder);
    this.key = this.ownKey;
  }

  /** The oldest key is this claim's. It is another key than its own where a holder gave the lock to this claim. */
  take({ key, createRevision }: KeyValue): void {
    this.key = key;
    this.createRevision = createRevision;
  }

  /** True as long as the key exists and was not given to another claim. */
  get isOurs(): readonly Compare[] {
    const { key, createRevision, lease } = this;
    const attached: Compare = { key, result: 'EQUAL', target: 'LEASE', lease: lease.id };
    if (createRevision === undefined) return [attached];
    return [{ key, result: 'EQUAL', target: 'CREATE', createRevision }, attached];
  }

  /** @param wall the time at which a lease begins that begins with this write */
  value(inbox: string, wall: number, ttl = this.claim.ttl): string {
    if (this.status !== 'held') this.since = wall;
    const { since } = this;
    const { holder, instance, metadata } = this.claim;
    const token = this.token || undefined;
    return JSON.stringify({ holder, instance, metadata, ttl, inbox, since, token } satisfies StoredClaim);
  }

  stopWatching(): void {
    this.unwatch?.();
    this.unwatch = undefined;
    this.inFront = undefined;
  }
}

/** Milliseconds that a request for a lease may take, so that another request fits into the TTL. */
export function timeoutOf(ttl: number): number {
  return Math.max(300, Math.min(1500, ttl / 6));
}
