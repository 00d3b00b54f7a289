import type { Milliseconds } from '../core/duration.js';
import { guarded } from '../core/guarded.js';
import type { LeaderEventSink } from './leader-events.js';
import type { LeadershipState } from './leadership.js';

/** The options of an election, checked and with defaults. */
export interface ElectionSettings {
  readonly name: string;
  /** The name of the lease in the store. */
  readonly storeKey: string;
  /** The scope of the members in the store. */
  readonly membersScope: string;
  readonly leaseDuration: Milliseconds;
  readonly renewDeadline: Milliseconds;
  readonly retryPeriod: Milliseconds;
  readonly autoCampaign: boolean;
  readonly releaseOnShutdown: boolean;
  readonly priority: number;
  /** The time for which leader work may run once the term is over. */
  readonly grace: Milliseconds;
  /** The instance never campaigns and is no member. */
  readonly observeOnly?: boolean;
}

export interface ElectionListener {
  readonly changed: (state: LeadershipState) => void;
  readonly report: LeaderEventSink;
  /** A message for an operator. The election goes on. */
  readonly problem: (message: string, cause?: unknown) => void;
}

/** The same listener. An error of the application's code becomes a warning of the process, and ends no campaign. */
export function guardedListener({ changed, report, problem }: ElectionListener): ElectionListener {
  return {
    changed: guarded('a listener of a leadership state', changed),
    report: guarded('a listener of leader events', report),
    problem: guarded('the logger', problem),
  };
}
