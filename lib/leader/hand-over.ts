import { MemberNotFoundError } from '../core/errors.js';
import type { Candidacy } from './peer-records.js';

/** Who is to lead next: the one of the highest priority, or undefined where the order of the queue decides. */
export function preferredOf(members: readonly Candidacy[], self: string): string | undefined {
  const candidates = candidatesOf(members, self);
  const highest = Math.max(...candidates.map(({ priority }) => priority));
  const preferred = candidates.filter(({ priority }) => priority === highest);
  return preferred.length < candidates.length ? preferred[0]!.member.id : undefined;
}

/** @throws MemberNotFoundError unless the instance campaigns */
export function assertCampaigns(members: readonly Candidacy[], self: string, election: string, to: string): void {
  const ids = candidatesOf(members, self).map(({ member }) => member.id);
  if (!ids.includes(to)) throw new MemberNotFoundError(election, to, ids);
}

function candidatesOf(members: readonly Candidacy[], self: string): Candidacy[] {
  return members.filter(({ member }) => member.role === 'candidate' && member.id !== self);
}
