import type { Clock } from './clock.js';
import type { LossReason } from './errors.js';
import type { Lease } from './lease.js';
import type { Claim, TokenBlock } from './lock-driver.js';
import type { Watch } from './watch.js';

/**
 * The part of a TTL in which a lease must not be trusted: clocks of different machines run at slightly different
 * rates, and timers fire late.
 */
export function driftMargin(ttl: number): number {
  return Math.ceil(0.01 * ttl) + 2;
}

export interface TenureGrant extends TokenBlock {
  readonly claim: Claim;
  /** An earlier request for this claim may still reach the store: it has to be cancelled, not just released. */
  readonly stray: boolean;
  /** Local time just before the sending of the request from whose execution the TTL runs. */
  readonly anchor: number;
  /** Milliseconds for which the store armed the lease. */
  readonly ttl: number;
  /** Others that wait in the store. */
  readonly waiters: number;
  /** The longest that one renewal keeps the lease valid; default: the TTL less the drift margin. */
  readonly validFor?: number | undefined;
  /** Milliseconds between renewals; default: a third of the TTL. */
  readonly renewEvery?: number | undefined;
}

/**
 * What this instance has from the store: one key for one holder. Valid until `anchor + TTL - margin`, where every
 * renewal that was answered in time moves the anchor. Once the clock has passed that moment nothing makes it valid
 * again, however late the news arrives.
 *
 * One caller after another may use it, each with a token of the reserved block.
 */
export class Tenure {
  /** The watchdog's notes on it, as long as it is renewed. */
  watch: Watch | undefined;
  readonly claim: Claim;
  readonly stray: boolean;
  readonly renewEvery: number;
  readonly since: number;
  /** When the first renewal is due: soon, where the store armed less than the whole TTL. */
  readonly firstRenewal: number;
  /** Who uses it now. */
  lease: Lease | undefined;
  /** Others that wait in the store, as far as we were told. */
  waiters: number;
  /** Id of a waiting instance that is to have the key next. */
  successor: string | undefined;
  /** How often it was passed on within this instance. */
  passed = 0;

  readonly validFor: number;
  readonly #clock: Clock;
  #validUntil: number;
  #ended = false;
  #loss: LossReason | undefined;
  #nextToken: number;
  #lastToken: number;

  constructor(clock: Clock, grant: TenureGrant, now: number) {
    this.#clock = clock;
    this.claim = grant.claim;
    this.stray = grant.stray;
    this.waiters = grant.waiters;
    this.since = now;
    this.renewEvery = grant.renewEvery ?? grant.claim.ttl / 3;
    this.firstRenewal = grant.anchor + (grant.ttl < grant.claim.ttl ? grant.ttl / 4 : this.renewEvery);
    this.validFor = grant.validFor ?? Infinity;
    this.#validUntil = this.#validity(grant.anchor, grant.ttl);
    this.#nextToken = grant.fencingToken;
    this.#lastToken = grant.fencingToken + grant.tokens - 1;
  }

  get validUntil(): number {
    return this.#validUntil;
  }

  get remaining(): number {
    return this.remainingAt(this.#clock.now());
  }

  /** Milliseconds since 1970 of a time of the monotonic clock: for people. */
  wallAt(time: number): number {
    return Math.round(this.#clock.wall() - (this.#clock.now() - time));
  }

  /** For callers that have just read the clock. */
  remainingAt(now: number): number {
    return this.#ended ? 0 : Math.max(0, this.#validUntil - now);
  }

  get loss(): LossReason | undefined {
    return this.#loss;
  }

  /** The next number of the reserved block, or undefined when it is used up. */
  takeToken(): number | undefined {
    return this.#nextToken <= this.#lastToken ? this.#nextToken++ : undefined;
  }

  addTokens({ fencingToken, tokens }: TokenBlock): void {
    this.#nextToken = fencingToken;
    this.#lastToken = fencingToken + tokens - 1;
  }

  /** Takes a renewal into account that was sent at `anchor`. False when it came too late. */
  renewed(anchor: number): boolean {
    if (this.remaining === 0) return false;
    this.#validUntil = Math.max(this.#validUntil, this.#validity(anchor, this.claim.ttl));
    return true;
  }

  /** False when it was over already. */
  lose(reason: LossReason, cause?: unknown): boolean {
    if (this.#ended) return false;
    this.#ended = true;
    this.#loss = reason;
    this.lease?.lose(reason, cause);
    return true;
  }

  end(): void {
    this.#ended = true;
  }

  #validity(anchor: number, ttl: number): number {
    return anchor + Math.min(ttl - driftMargin(ttl), this.validFor);
  }
}
