import type { LossReason } from './errors.js';

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

/** What happens to the locks, and to the leaders' leases, of one instance. Durations are milliseconds. */
export type LockEvent =
  | (OfGrant & { readonly type: 'acquired'; readonly waited: number })
  /** Somebody else holds the key: this caller starts to wait, or is refused. Once per call. */
  | (OfLease & { readonly type: 'contended'; readonly heldBy: string | undefined })
  | (OfGrant & { readonly type: 'renewed'; readonly took: number })
  /** A renewal failed or did not answer; the lock is still valid for `remaining` and renewal is being retried. */
  | (OfGrant & { readonly type: 'at-risk'; readonly remaining: number; readonly cause?: unknown })
  | (OfGrant & { readonly type: 'lost'; readonly reason: LossReason; readonly held: number })
  | (OfGrant & { readonly type: 'released'; readonly held: number })
  | FireEvent;

/** What happens to the fires of `@OncePerTick()` jobs. `instant` is the scheduled time, in milliseconds since 1970. */
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
