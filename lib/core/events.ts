import type { Milliseconds } from './duration.js';
import type { LossReason } from './lock-errors.js';

/** @inline */
interface OfLease {
  /** The key of the lock, or the name of the election. */
  readonly key: string;
  /** The name of the election, where the lease is that of a leader; undefined for a lock. */
  readonly election?: string | undefined;
}

/** @inline */
interface OfGrant extends OfLease {
  /** The fencing token of the lock, or the number of the term. */
  readonly fencingToken: number;
}

/** @inline */
interface OfFire {
  /** The name of the job: `job` of `@OncePerTick()`, or class and method. */
  readonly job: string;
  /** The scheduled time, in milliseconds since 1970. */
  readonly instant: number;
}

/** The events of the locks, the leaders' leases and the fires of one instance. Durations are milliseconds. */
export type LockEvent =
  /** A caller got the lock. */
  | (OfGrant & {
      readonly type: 'acquired';
      /** The time that the caller waited. */
      readonly waited: Milliseconds;
    })
  /** Another holds the key, so this caller starts to wait, or is refused. Once for each call. */
  | (OfLease & {
      readonly type: 'contended';
      /** The id of the instance that holds the key; undefined where it is not known. */
      readonly heldBy: string | undefined;
    })
  /** The lease was renewed. */
  | (OfGrant & {
      readonly type: 'renewed';
      /** The time from the request to the answer. */
      readonly took: Milliseconds;
    })
  /** A renewal failed, or its answer is missing. The lock is still held, and the renewal is repeated. */
  | (OfGrant & {
      readonly type: 'at-risk';
      /** The rest of the lease. */
      readonly remaining: Milliseconds;
      /** The error of the renewal; undefined where there was none. */
      readonly cause?: unknown;
    })
  /** The lock ended while it was in use. Its signal aborts. */
  | (OfGrant & {
      readonly type: 'lost';
      /** The reason of the loss. */
      readonly reason: LossReason;
      /** The time for which the lock was held. */
      readonly held: Milliseconds;
    })
  /** The lock was given back by its caller. */
  | (OfGrant & {
      readonly type: 'released';
      /** The time for which the lock was held. */
      readonly held: Milliseconds;
    })
  | FireEvent;

/** The events of the fires of `@OncePerTick()` jobs. */
export type FireEvent =
  /** This instance runs the fire. */
  | (OfFire & { readonly type: 'fire-claimed' })
  /** Another instance runs the fire, or a later one. */
  | (OfFire & { readonly type: 'fire-taken' })
  /** The instance that claimed the fire died before the job was done. One instance reports it. */
  | (OfFire & {
      readonly type: 'fire-abandoned';
      /** The id of the instance that claimed the fire; undefined where it is not known. */
      readonly by: string | undefined;
    });

export type LockEventSink = (event: LockEvent) => void;
