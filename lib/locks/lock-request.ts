import type { Milliseconds } from '../core/duration.js';
import type { Claim, Granted, LockRecord } from '../core/lock-driver.js';
import type { CallSite } from './call-site.js';

/** The part of a request that decides whether a lease can be passed on to the caller within the instance. */
export interface Wish {
  /** As the caller named it. */
  readonly key: string;
  readonly ttl: Milliseconds;
  /** The longest that one renewal keeps the lease valid; default: the TTL less the drift margin. */
  readonly validFor?: Milliseconds | undefined;
  readonly metadata?: Readonly<Record<string, string>> | undefined;
}

/** A request for a lease, by a caller of a lock or by the campaign of an election. */
export interface LeaseRequest extends Wish {
  /** As the store knows it. */
  readonly storeKey: string;
  /** Time between renewals; default: a third of the TTL. */
  readonly renewEvery?: Milliseconds | undefined;
  readonly signal?: AbortSignal | undefined;
  /** The time to wait in line, or a number of tries that do not queue. */
  readonly limit: { readonly wait: Milliseconds } | { readonly attempts: number; readonly retryDelay: Milliseconds };
  /** Time between two looks at a held key where the driver keeps no places; default: what suits the driver. */
  readonly pollEvery?: Milliseconds | undefined;
  /** Called with every refusal. */
  readonly onRefused?: ((record: LockRecord | null) => void) | undefined;
  /** Called with the cause of every request that failed. */
  readonly onFailed?: ((cause: unknown) => void) | undefined;
  /** Default: wait. */
  readonly unavailable?: WhenUnavailable | undefined;
  /** Nobody awaits it: a campaign. */
  readonly isBackground?: boolean | undefined;
}

/**
 * While the store is known to be down: `wait` for it as long as for the lock, or `reject` at once.
 *
 * @inline
 */
export type WhenUnavailable = 'wait' | 'reject';

/** A grant of the store, with what the engine knows of its request. */
export interface LeaseGrant extends Omit<Granted, 'status'>, Pick<LeaseRequest, 'validFor' | 'renewEvery'> {
  readonly claim: Claim;
  /** An earlier request for this claim may still reach the store: it has to be cancelled, not just released. */
  readonly stray: boolean;
  /** Local time just before the sending of the request from whose execution the TTL runs. */
  readonly anchor: number;
}

/** The longest and the shortest time of a hold, from its grant. */
export interface HoldLimits {
  readonly maxHold?: Milliseconds | undefined;
  readonly holdAtLeast?: Milliseconds | undefined;
}

/** A request of a call chain, which may hold the key already. */
export interface AcquireRequest extends LeaseRequest, HoldLimits {
  readonly reentrant?: boolean | undefined;
  /** Where the caller is. */
  readonly callSite?: CallSite | undefined;
}
