import { setMaxListeners } from 'node:events';
import type { Clock, Timer } from '../core/clock.js';
import type { Milliseconds } from '../core/duration.js';
import type { Linked } from '../core/linked-list.js';
import type { Claim } from '../core/lock-driver.js';
import { type HoldFacts, LockLostError, type LossReason } from '../core/lock-errors.js';
import { electionOf, subjectOf } from '../core/store-key.js';
import { driftMargin } from '../core/validity.js';
import type { CallSite } from './call-site.js';
import type { LeaseGrant } from './lock-request.js';
import { ReservedTokens } from './reserved-tokens.js';
import type { Watch } from './watch.js';

/** One caller's use of a lease: a token and a signal of its own, valid as long as the lease. */
export class Hold implements Linked<Hold> {
  before: Hold | undefined;
  after: Hold | undefined;
  /** As the caller named it. */
  readonly key: string;
  readonly lease: Lease;
  readonly fencingToken: number;
  readonly acquiredAt: number;
  /** Handles of this hold; the last one to let go ends it. */
  shares = 0;
  /** Where it was acquired, where that was noted. */
  callSite: CallSite | undefined;
  /** A guarded call releases it: nobody can forget to. */
  isGuarded = false;
  /** A leader has it, no caller. */
  isBackground = false;
  /** It ends at this time of the clock, whatever its caller does. */
  endsAt = Infinity;
  /** Reports that end. */
  endTimer: Timer | undefined;
  /** Nobody else may get the key before this time of the clock. */
  keptUntil = -Infinity;

  #ended = false;
  #loss: LockLostError | undefined;
  #controller: AbortController | undefined;

  constructor(key: string, lease: Lease, fencingToken: number, acquiredAt: number) {
    this.key = key;
    this.lease = lease;
    this.fencingToken = fencingToken;
    this.acquiredAt = acquiredAt;
    lease.hold = this;
  }

  /** The election whose leader has it; undefined for a lock. */
  get election(): string | undefined {
    return electionOf(this.lease.claim.key);
  }

  get remaining(): Milliseconds {
    return this.#ended ? 0 : this.lease.remainingUntil(this.endsAt);
  }

  get signal(): AbortSignal {
    if (!this.#controller) {
      this.#controller = new AbortController();
      // As many listeners as the protected code has parts: no leak.
      setMaxListeners(0, this.#controller.signal);
      if (this.#loss) this.#controller.abort(this.#loss);
    }
    return this.#controller.signal;
  }

  get loss(): LockLostError | undefined {
    return this.#loss;
  }

  lose(reason: LossReason, cause?: unknown): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#loss = this.lossError(reason, cause);
    this.#controller?.abort(this.#loss);
  }

  end(): void {
    this.#ended = true;
  }

  lossError(reason: LossReason, cause?: unknown): LockLostError {
    const { subject, since, remaining } = this.facts();
    const left = reason === 'ending' ? remaining : 0;
    const options = { subject, since, remaining: left, ...(cause === undefined ? {} : { cause }) };
    return new LockLostError(this.key, this.fencingToken, reason, options);
  }

  /** For messages about it. */
  facts(): HoldFacts {
    const { claim } = this.lease;
    return {
      subject: subjectOf(claim.key, this.key),
      since: this.lease.wallAt(this.acquiredAt),
      remaining: this.remaining,
      heldHere: true,
      acquiredAt: this.callSite?.text,
    };
  }
}

/**
 * One key that the store granted to one holder of this instance.
 *
 * 1. It is valid until `anchor + TTL - margin`. Each renewal that was answered in time moves the anchor.
 * 2. Once the clock has passed that moment nothing makes it valid again, however late an answer arrives.
 * 3. One caller after another may use it, each with a token of the reserved block and a hold of its own.
 */
export class Lease {
  /** The watchdog's notes on it, as long as it is renewed. */
  watch: Watch<Lease> | undefined;
  readonly claim: Claim;
  readonly stray: boolean;
  readonly tokens = new ReservedTokens();
  readonly renewEvery: Milliseconds;
  readonly since: number;
  /** When the first renewal is due: soon, where the store armed less than the whole TTL. */
  readonly firstRenewal: number;
  /** The hold that uses it now. */
  hold: Hold | undefined;
  /** Others that wait in the store, by its last answer. */
  waiters: number;
  /** Id of a waiting instance that is to have the key next. */
  successor: string | undefined;
  /** How often it was passed on within this instance. */
  passed = 0;
  readonly validFor: Milliseconds;
  readonly #clock: Clock;
  #validUntil: number;
  #ended = false;
  #loss: LossReason | undefined;

  constructor(clock: Clock, grant: LeaseGrant, now: number) {
    this.#clock = clock;
    this.claim = grant.claim;
    this.stray = grant.stray;
    this.waiters = grant.waiters;
    this.since = now;
    this.renewEvery = grant.renewEvery ?? grant.claim.ttl / 3;
    this.firstRenewal = grant.anchor + (grant.ttl < grant.claim.ttl ? grant.ttl / 4 : this.renewEvery);
    this.validFor = grant.validFor ?? Infinity;
    this.#validUntil = this.#validity(grant.anchor, grant.ttl);
    this.tokens.add(grant);
  }

  get validUntil(): number {
    return this.#validUntil;
  }

  get remaining(): Milliseconds {
    return this.remainingAt(this.#clock.now());
  }

  remainingUntil(end: number): Milliseconds {
    const now = this.#clock.now();
    return Math.max(0, Math.min(this.remainingAt(now), end - now));
  }

  /** A time of the monotonic clock in milliseconds since 1970, for people. */
  wallAt(time: number): number {
    return Math.round(this.#clock.wall() - (this.#clock.now() - time));
  }

  /** For callers that have just read the clock. */
  remainingAt(now: number): Milliseconds {
    return this.#ended ? 0 : Math.max(0, this.#validUntil - now);
  }

  get loss(): LossReason | undefined {
    return this.#loss;
  }

  /** Takes a renewal into account that was sent at `anchor`. False when it came too late. */
  renewed(anchor: number): boolean {
    if (this.remaining === 0) return false;
    this.#validUntil = Math.max(this.#validUntil, this.#validity(anchor, this.claim.ttl));
    return true;
  }

  /** False when it was over before. */
  lose(reason: LossReason, cause?: unknown): boolean {
    if (this.#ended) return false;
    this.#ended = true;
    this.#loss = reason;
    this.hold?.lose(reason, cause);
    return true;
  }

  end(): void {
    this.#ended = true;
  }

  #validity(anchor: number, ttl: Milliseconds): number {
    return anchor + Math.min(ttl - driftMargin(ttl), this.validFor);
  }
}
