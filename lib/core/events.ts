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
  | { readonly type: 'released'; readonly key: string; readonly fencingToken: number; readonly held: number };

export type LockEventSink = (event: LockEvent) => void;
