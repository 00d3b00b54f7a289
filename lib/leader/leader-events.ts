import type { Milliseconds } from '../core/duration.js';

/** An event of an election, as one instance sees it. */
export type LeaderEvent =
  /** This instance leads from now on. */
  | { readonly type: 'elected'; readonly election: string; readonly term: number }
  /** This instance does not lead any more. */
  | {
      readonly type: 'term-ended';
      readonly election: string;
      readonly term: number;
      readonly reason: string;
      readonly lasted: Milliseconds;
    }
  /** A term ended while leader work ran. With unfinished work after the grace period, the lease is left to its TTL. */
  | {
      readonly type: 'drained';
      readonly election: string;
      readonly term: number;
      readonly finished: number;
      readonly unfinished: number;
    }
  /** A method under `@OnStartedLeading()`, `@OnStoppedLeading()` or `@OnNewLeader()` threw. */
  | { readonly type: 'callback-failed'; readonly election: string; readonly callback: string; readonly cause: unknown }
  /** The store answered this candidate with an error, or did not answer. The candidate goes on campaigning. */
  | { readonly type: 'campaign-failed'; readonly election: string; readonly cause: unknown }
  /** Another live instance uses the id of this one. */
  | { readonly type: 'instance-id-taken'; readonly election: string; readonly id: string };

export type LeaderEventSink = (event: LeaderEvent) => void;
