import { guarded } from '../core/guarded.js';
import type { LeaderEventSink } from './leader-events.js';
import type { LeadershipState } from './leadership.js';

/** Durations are milliseconds. */
export interface ElectionSettings {
  readonly name: string;
  /** The name of its lease in the store. */
  readonly storeKey: string;
  /** The scope of its members in the store. */
  readonly membersScope: string;
  readonly leaseDuration: number;
  readonly renewDeadline: number;
  readonly retryPeriod: number;
  readonly autoCampaign: boolean;
  readonly releaseOnShutdown: boolean;
  readonly priority: number;
  /** For how long leader work may run once the term is over. */
  readonly grace: number;
  /** The instance never campaigns and is no member. */
  readonly observeOnly?: boolean;
}

export interface ElectionListener {
  readonly changed: (state: LeadershipState) => void;
  readonly report: LeaderEventSink;
  /** Something that an operator should know; the election goes on. */
  readonly problem: (message: string, cause?: unknown) => void;
}

/** What the application does with the news must not end a campaign. */
export function guardedListener({ changed, report, problem }: ElectionListener): ElectionListener {
  return {
    changed: guarded('a listener of a leadership state', changed),
    report: guarded('a listener of leader events', report),
    problem: guarded('the logger', problem),
  };
}
