import type { LossReason } from './errors.js';

/** What happens to the locks of one instance. Durations are milliseconds. */
export type LockEvent =
  | { readonly type: 'acquired'; readonly key: string; readonly fencingToken: number; readonly waited: number }
  /** Somebody else holds the key: this caller starts to wait, or is refused. Once per call. */
  | { readonly type: 'contended'; readonly key: string; readonly heldBy: string | undefined }
  | { readonly type: 'renewed'; readonly key: string; readonly fencingToken: number; readonly took: number }
  /** A renewal failed or did not answer; the lock is still valid for `remaining` and renewal is being retried. */
  | {
      readonly type: 'at-risk';
      readonly key: string;
      readonly fencingToken: number;
      readonly remaining: number;
      readonly cause?: unknown;
    }
  | {
      readonly type: 'lost';
      readonly key: string;
      readonly fencingToken: number;
      readonly reason: LossReason;
      readonly held: number;
    }
  | { readonly type: 'released'; readonly key: string; readonly fencingToken: number; readonly held: number }
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
