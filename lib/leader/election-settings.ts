import type { LeaderEventSink } from './leader-events.js';
import type { LeadershipState } from './leadership.js';

/** Durations are milliseconds. */
export interface ElectionSettings {
  readonly election: string;
  /** The name of its lease in the store. */
  readonly name: string;
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
}

export interface ElectionListener {
  changed(state: LeadershipState): void;
  report: LeaderEventSink;
  /** Something that an operator should know; the election goes on. */
  problem(message: string, cause?: unknown): void;
}
