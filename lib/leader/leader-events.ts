/** What happens in an election, as one instance sees it. Durations are milliseconds. */
export type LeaderEvent =
  /** This instance leads. */
  | { readonly type: 'elected'; readonly election: string; readonly term: number }
  | {
      readonly type: 'term-ended';
      readonly election: string;
      readonly term: number;
      readonly reason: string;
      readonly lasted: number;
    }
  /** A term ended while leader work ran. What did not finish within the grace period keeps the lease until it expires. */
  | {
      readonly type: 'drained';
      readonly election: string;
      readonly term: number;
      readonly finished: number;
      readonly unfinished: number;
    }
  /** A method under one of the callback decorators threw. */
  | { readonly type: 'callback-failed'; readonly election: string; readonly callback: string; readonly cause: unknown }
  /** The store refuses this candidate, or does not answer it: it goes on campaigning. */
  | { readonly type: 'campaign-failed'; readonly election: string; readonly cause: unknown }
  /** Another live instance uses the id of this one. */
  | { readonly type: 'instance-id-taken'; readonly election: string; readonly id: string };

export type LeaderEventSink = (event: LeaderEvent) => void;
