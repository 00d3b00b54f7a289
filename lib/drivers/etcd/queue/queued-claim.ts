import type { Timer } from '../../../core/clock.js';
import type { Claim, LockRecord } from '../../../core/lock-driver.js';
import type { Compare, KeyValue } from '../client/messages.js';
import { placeKey } from '../names.js';
import type { PlaceValue } from './records.js';
import type { StoreLease } from './store-lease.js';

/**
 * One claim of ours in the line of its lock: a key that lives as long as its lease. The oldest key of a line is the
 * holder's. Its fencing token is the revision of the write in which the holder found that it is the oldest.
 */
export class QueuedClaim {
  claim: Claim;
  lease: StoreLease;
  /** Its own, or that of a holder which gave us its place. */
  key: string;
  /** Once it is known to exist. */
  createRevision: number | undefined;
  status: 'new' | 'waiting' | 'held' | 'refused' | 'lost' | 'over' = 'new';
  /** Once it is held. */
  token = 0;
  /** When it asked last to become the holder. */
  since = 0;
  /** Others behind it, when we looked last. */
  waiters = 0;
  /** An attempt to take it has an unknown outcome, and may be executed for as long as the lease exists. */
  isUncertain = false;
  /** When the core asked for it last. */
  askedAt: number;
  /** The holder's, when we looked last. */
  record: LockRecord | null = null;
  /** The look into the store that is under way. */
  looking: Promise<void> | undefined;
  /** What forgets it when its lease has ended, because it could not be given back. */
  ending: Timer | undefined;
  /** The key in front that is watched, besides its own, and what ends that. */
  inFront: string | undefined;
  unwatch: (() => void) | undefined;

  /** The key under which it entered the line. */
  readonly ownKey: string;

  constructor(claim: Claim, lease: StoreLease, askedAt: number) {
    this.claim = claim;
    this.lease = lease;
    this.askedAt = askedAt;
    this.ownKey = placeKey(claim.key, claim.holder);
    this.key = this.ownKey;
  }

  /** The holder's place is ours, under another key when a holder gave us its own. */
  take({ key, createRevision }: KeyValue): void {
    this.key = key;
    this.createRevision = createRevision;
  }

  /** Holds as long as the place exists and was not given to anybody else. */
  get isOurs(): readonly Compare[] {
    const { key, createRevision, lease } = this;
    const attached: Compare = { key, result: 'EQUAL', target: 'LEASE', lease: lease.id };
    if (createRevision === undefined) return [attached];
    return [{ key, result: 'EQUAL', target: 'CREATE', createRevision }, attached];
  }

  /** Of a tenure that begins with this write, unless it is held already. */
  value(inbox: string, ttl = this.claim.ttl): string {
    if (this.status !== 'held') this.since = Date.now();
    const { since } = this;
    const { holder, instance, metadata } = this.claim;
    const token = this.token || undefined;
    return JSON.stringify({ holder, instance, metadata, ttl, inbox, since, token } satisfies PlaceValue);
  }

  stopWatching(): void {
    this.unwatch?.();
    this.unwatch = undefined;
    this.inFront = undefined;
  }
}

/** Milliseconds that a request for a lease may take, so that another one fits into its TTL. */
export function timeoutOf(ttl: number): number {
  return Math.max(300, Math.min(1500, ttl / 6));
}
