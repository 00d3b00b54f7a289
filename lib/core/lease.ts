import type { Clock } from './clock.js';
import { type Duration, toMilliseconds } from './duration.js';
import { LockLostError, type LossReason } from './errors.js';
import type { Claim } from './lock-driver.js';
import { Lock } from './lock.js';

/**
 * The part of a TTL in which a lease must not be trusted: clocks of different machines run at slightly different
 * rates, and timers fire late.
 */
export function driftMargin(ttl: number): number {
  return Math.ceil(0.01 * ttl) + 2;
}

export interface LeaseGrant {
  /** The key as the caller named it. */
  readonly key: string;
  readonly claim: Claim;
  readonly fencingToken: number;
  /** An earlier request for this claim may still reach the store: it has to be cancelled, not just released. */
  readonly stray: boolean;
  /** Local time just before the sending of the request from whose execution the TTL runs. */
  readonly anchor: number;
  /** Milliseconds granted. */
  readonly ttl: number;
  /** The longest that one renewal keeps the lease valid; default: the TTL less the drift margin. */
  readonly validFor?: number | undefined;
  /** Milliseconds between renewals; default: a third of the TTL. */
  readonly renewEvery?: number | undefined;
}

/**
 * One tenure of one key. Valid until `anchor + TTL - margin`, where every renewal that was answered in time moves the
 * anchor. Once the clock has passed that moment nothing makes it valid again, however late the news arrives.
 */
export class Lease {
  readonly key: string;
  readonly claim: Claim;
  readonly fencingToken: number;
  readonly stray: boolean;
  readonly renewEvery: number;
  readonly acquiredAt: number;
  /** Handles that use this lease; the last one to let go releases it. */
  shares = 0;

  readonly #clock: Clock;
  readonly #validFor: number;
  #validUntil: number;
  #ended = false;
  #loss: LockLostError | undefined;
  #controller: AbortController | undefined;

  constructor(clock: Clock, grant: LeaseGrant) {
    this.#clock = clock;
    this.key = grant.key;
    this.claim = grant.claim;
    this.fencingToken = grant.fencingToken;
    this.stray = grant.stray;
    this.renewEvery = grant.renewEvery ?? grant.claim.ttl / 3;
    this.acquiredAt = clock.now();
    this.#validFor = grant.validFor ?? Infinity;
    this.#validUntil = this.#validity(grant.anchor, grant.ttl);
  }

  get validUntil(): number {
    return this.#validUntil;
  }

  get remaining(): number {
    return this.#ended ? 0 : Math.max(0, this.#validUntil - this.#clock.now());
  }

  get signal(): AbortSignal {
    if (!this.#controller) {
      this.#controller = new AbortController();
      if (this.#loss) this.#controller.abort(this.#loss);
    }
    return this.#controller.signal;
  }

  get loss(): LockLostError | undefined {
    return this.#loss;
  }

  /** Takes a renewal into account that was sent at `anchor`. False when it came too late. */
  renewed(anchor: number): boolean {
    if (this.remaining === 0) return false;
    this.#validUntil = Math.max(this.#validUntil, this.#validity(anchor, this.claim.ttl));
    return true;
  }

  lose(reason: LossReason, cause?: unknown): LockLostError | undefined {
    if (this.#ended) return undefined;
    this.#ended = true;
    this.#loss = this.lossError(reason, cause);
    this.#controller?.abort(this.#loss);
    return this.#loss;
  }

  end(): void {
    this.#ended = true;
  }

  lossError(reason: LossReason, cause?: unknown): LockLostError {
    return new LockLostError(this.key, this.fencingToken, reason, cause === undefined ? undefined : { cause });
  }

  #validity(anchor: number, ttl: number): number {
    return anchor + Math.min(ttl - driftMargin(ttl), this.#validFor);
  }
}

/** One user's share of a lease. Reentrant callers have a handle each. */
export class LeaseHandle extends Lock {
  readonly #lease: Lease;
  readonly #letGo: () => Promise<void>;
  #released: Promise<void> | undefined;

  constructor(lease: Lease, letGo: () => Promise<void>) {
    super();
    this.#lease = lease;
    this.#letGo = letGo;
    lease.shares++;
  }

  get key(): string {
    return this.#lease.key;
  }

  get holder(): string {
    return this.#lease.claim.holder;
  }

  get fencingToken(): number {
    return this.#lease.fencingToken;
  }

  get signal(): AbortSignal {
    return this.#lease.signal;
  }

  get held(): boolean {
    return this.remaining > 0;
  }

  get remaining(): number {
    return this.#released ? 0 : this.#lease.remaining;
  }

  get lease(): Lease {
    return this.#lease;
  }

  ensure(time?: Duration): void {
    const { remaining } = this;
    if (remaining > 0 && (time === undefined || remaining >= toMilliseconds(time, 'ensure()'))) return;
    if (this.#released) throw this.#lease.lossError('released');
    throw this.#lease.loss ?? this.#lease.lossError(remaining > 0 ? 'ending' : 'expired');
  }

  release(): Promise<void> {
    this.#released ??= this.#letGo();
    return this.#released;
  }
}
