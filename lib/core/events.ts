import type { Milliseconds } from './duration.js';
import type { LossReason } from './lock-errors.js';

/** @inline */
interface OfLease {
  readonly key: string;
  /** The name of the election whose leader's lease it is; undefined for a lock. */
  readonly election?: string | undefined;
}

/** @inline */
interface OfGrant extends OfLease {
  readonly fencingToken: number;
}

/** The events of the locks, and of the leaders' leases, of one instance. */
export type LockEvent =
  | (OfGrant & { readonly type: 'acquired'; readonly waited: Milliseconds })
  /** Somebody else holds the key: this caller starts to wait, or is refused. Once per call. */
  | (OfLease & { readonly type: 'contended'; readonly heldBy: string | undefined })
  | (OfGrant & { readonly type: 'renewed'; readonly took: Milliseconds })
  /** A renewal failed or was not answered; the lock is still valid for `remaining`, and renewals go on. */
  | (OfGrant & { readonly type: 'at-risk'; readonly remaining: Milliseconds; readonly cause?: unknown })
  | (OfGrant & { readonly type: 'lost'; readonly reason: LossReason; readonly held: Milliseconds })
  | (OfGrant & { readonly type: 'released'; readonly held: Milliseconds })
  | FireEvent;

/** The events of the fires of `@OncePerTick()` jobs. `instant` is the scheduled time, in milliseconds since 1970. */
export type FireEvent =
  /** This instance runs the fire. */
  | { readonly type: 'fire-claimed'; readonly job: string; readonly instant: number }
  /** Another instance runs it, or a later one. */
  | { readonly type: 'fire-taken'; readonly job: string; readonly instant: number }
  /** The instance that claimed the fire (`by`, where that is known) died before it was done. One instance reports it. */
  | {
      readonly type: 'fire-abandoned';
      readonly job: string;
      readonly instant: number;
      readonly by: string | undefined;
    };

export type LockEventSink = (event: LockEvent) => void;
