import type { AcceptsUrl } from './accepted-urls.js';

/** What an instance is in an election. */
export type Role = 'follower' | 'candidate' | 'leader' | 'stepping-down' | 'stopped';

/** An instance, as the others see it. */
export interface Member {
  readonly id: string;
  /** Where it can be reached, if it said so. */
  readonly url?: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly role: Role;
  /** Milliseconds since 1970, by its own clock: when it joined the election. */
  readonly joinedAt: number;
}

/** One leadership. Its number is a fencing token: strictly larger than that of every earlier term. */
export interface Term {
  readonly number: number;
  readonly election: string;
  /** Aborts when the term ends, before another instance can lead. */
  readonly signal: AbortSignal;
}

export interface LeadershipState {
  readonly election: string;
  readonly role: Role;
  /** The leader, as far as this instance knows. */
  readonly leader: Member | null;
  /** This instance's term while it leads. */
  readonly term: Term | null;
  /** Milliseconds since 1970 of the last change of role. */
  readonly since: number;
  /** Why the role changed, where that is not obvious; of a candidate also why it cannot be elected at the moment. */
  readonly reason?: string;
}

export interface StateChange {
  readonly role: Role;
  /** Default: as before. */
  readonly leader?: Member | null;
  readonly term?: Term;
  /** Default: as before while the role stays. */
  readonly reason?: string | null;
}

/** @param now milliseconds since 1970 */
export function nextState(state: LeadershipState, change: StateChange, now: number): LeadershipState {
  const { role, leader = state.leader, term = null } = change;
  const isSame = role === state.role;
  const since = isSame ? state.since : now;
  const reason = change.reason === undefined && isSame ? state.reason : (change.reason ?? undefined);
  return { election: state.election, role, leader, term, since, ...(reason === undefined ? {} : { reason }) };
}

/** How an instance presents itself. */
export interface InstanceInfo {
  readonly id: string;
  readonly url?: string | undefined;
  readonly metadata: Readonly<Record<string, string>>;
  /** Where requests may be sent. Default: to URLs of the same scheme and port as this instance's own. */
  readonly acceptsUrl?: AcceptsUrl;
}

export function toMember({ id, url, metadata }: InstanceInfo, role: Role, joinedAt: number): Member {
  return { id, ...(url === undefined ? {} : { url }), metadata, role, joinedAt };
}

/** Whether both are nobody, or the same instance since it joined. */
export function isSameMember(a: Member | null, b: Member | null): boolean {
  return a?.id === b?.id && a?.joinedAt === b?.joinedAt;
}

/** What the store keeps beside a leader's lease. */
export function toLeaseMetadata({ url, metadata, joinedAt }: Member): Record<string, string> {
  return { ...(url === undefined ? {} : { url }), joinedAt: String(joinedAt), metadata: JSON.stringify(metadata) };
}

/** Whether there is nothing to tell; why a term ended is told with the first news of it. */
export function isSameState(a: LeadershipState, b: LeadershipState): boolean {
  const isSameReason = a.role !== 'candidate' || a.reason === b.reason;
  return isSameReason && a.role === b.role && a.term === b.term && isSameMember(a.leader, b.leader);
}
