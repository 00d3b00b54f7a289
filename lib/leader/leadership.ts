import type { AcceptsUrl } from './accepted-urls.js';

/** The role of an instance in an election. */
export type Role = 'follower' | 'candidate' | 'leader' | 'stepping-down' | 'stopped';

/** An instance in an election, as the others see it. */
export interface Member {
  readonly id: string;
  /** The URL of the instance, if it has registered one that this instance accepts. */
  readonly url?: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly role: Role;
  /** The time at which the instance joined the election, by its own clock. Milliseconds since 1970. */
  readonly joinedAt: number;
}

/** One leadership of one instance. */
export interface Term {
  /** A fencing token, larger than the number of each earlier term. */
  readonly number: number;
  readonly election: string;
  /** Aborts when the term ends, before another instance can lead. */
  readonly signal: AbortSignal;
}

/** The state of an election, as one instance sees it. */
export interface LeadershipState {
  readonly election: string;
  readonly role: Role;
  /** The leader, as far as this instance knows. Null: it knows none. */
  readonly leader: Member | null;
  /** The term of this instance. Null while it does not lead. */
  readonly term: Term | null;
  /** The time of the last change of role. Milliseconds since 1970. */
  readonly since: number;
  /** The reason for the role, for people: why a term ended, or why a candidate cannot be elected at the moment. */
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

/** The data of an instance that others see. */
export interface InstanceInfo {
  readonly id: string;
  readonly url?: string | undefined;
  readonly metadata: Readonly<Record<string, string>>;
  /**
   * Accepts the URLs of other instances.
   *
   * @defaultValue accepts URLs of the same scheme and port as `url`
   */
  readonly acceptsUrl?: AcceptsUrl;
}

export function toMember({ id, url, metadata }: InstanceInfo, role: Role, joinedAt: number): Member {
  return { id, ...(url === undefined ? {} : { url }), metadata, role, joinedAt };
}

/** True where both are null, or have the same id and the same time of joining. */
export function isSameMember(a: Member | null, b: Member | null): boolean {
  return a?.id === b?.id && a?.joinedAt === b?.joinedAt;
}

/** The metadata of a leader's lease in the store. */
export function toLeaseMetadata({ url, metadata, joinedAt }: Member): Record<string, string> {
  return { ...(url === undefined ? {} : { url }), joinedAt: String(joinedAt), metadata: JSON.stringify(metadata) };
}

/** True where a subscriber that has `a` needs no `b`. The first state after a term has the reason for its end. */
export function isSameState(a: LeadershipState, b: LeadershipState): boolean {
  const isSameReason = a.role !== 'candidate' || a.reason === b.reason;
  return isSameReason && a.role === b.role && a.term === b.term && isSameMember(a.leader, b.leader);
}
