import type { LockRecord, TokenBlock } from '../../core/lock-driver.js';
import { recordOf } from '../redis/lease-format.js';
import { quorumOf, type Tally, tooFew } from './quorum.js';

/**
 * The answer of one server to a request for a lease: its vote, or the holder that has it. Null: the claim was given
 * back before.
 */
export type Vote = TokenBlock | { readonly record: LockRecord | null };

/** The reply of acquire.lua. */
export type Reply = 1 | string | [token: string] | [remaining: number, lease: string] | [];

export function toVote(reply: Reply, proposed: TokenBlock): Vote {
  if (reply === 1) return proposed;
  if (typeof reply === 'string') return { ...proposed, fencingToken: Number(reply) };
  const [first, lease] = reply;
  // The claim was granted before: other tokens of its block may be in use.
  if (typeof first === 'string') return { fencingToken: Number(first), tokens: 1 };
  return { record: lease === undefined ? null : recordOf(first ?? 0, lease, 0) };
}

export type Result =
  | { readonly status: 'won'; readonly votes: readonly TokenBlock[] }
  /** Another holder has a majority, or this claim cannot get one before others give votes back. */
  | { readonly status: 'lost'; readonly record: LockRecord | null }
  /** Nobody has a majority. `ahead`: this claim should get the lease, and the others give their votes back. */
  | { readonly status: 'ahead' | 'behind'; readonly record: LockRecord; readonly rivals: readonly string[] };

/**
 * The result of a vote of `size` servers; undefined while a missing answer could change it.
 *
 * A split vote is settled without chance:
 *
 * 1. The claim with most votes is ahead; of equals the one with the smallest holder id. All claims see the same.
 * 2. All other claims give their votes back.
 * 3. A rival that was let pass before and did not get the lease may be dead. It does not count again.
 *
 * @throws DriverUnavailableError when fewer than a quorum answered
 */
export function count(
  tally: Tally<Vote>,
  size: number,
  holder: string,
  letPass: ReadonlySet<string>,
): Result | undefined {
  const quorum = quorumOf(size);
  // The usual cases first: the vote is still open, or all votes are for this claim.
  if (tally.answers.length < quorum && tally.failures.length < quorum) return undefined;
  const votes = tally.answers.filter((vote) => 'tokens' in vote);
  if (votes.length >= quorum) return { status: 'won', votes };
  if (tally.failures.length >= quorum) throw tooFew(tally);
  if (votes.length + tally.pending >= quorum) return undefined;

  const records = tally.answers.flatMap((vote) => ('tokens' in vote || !vote.record ? [] : [vote.record]));
  const leader = mostNamed(records);
  if (!leader || leader.times >= quorum) return { status: 'lost', record: leader?.record ?? null };
  const { record, times } = mostNamed(records.filter((rival) => !letPass.has(rival.holder))) ?? { times: 0 };
  const rivals = [...new Set(records.map((rival) => rival.holder))];
  const isAhead = votes.length > times || (votes.length === times && record !== undefined && holder < record.holder);
  return { status: isAhead && votes.length > 0 ? 'ahead' : 'behind', record: record ?? leader.record, rivals };
}

/**
 * True: a claim that may have been granted before has to wait for more answers. A quorum may still turn out to know it
 * by one token, and that token has to be the answer again (S6). Servers that were not needed for the grant know another
 * token.
 */
export function mayBeGrantedBefore({ answers, pending }: Tally<Vote>, size: number): boolean {
  const quorum = quorumOf(size);
  const before = answers.flatMap((vote) => ('tokens' in vote && vote.tokens === 1 ? [vote.fencingToken] : []));
  const times = Math.max(0, ...before.map((token) => before.filter((other) => other === token).length));
  return times > 0 && times < quorum && times + pending >= quorum;
}

/** The record that most servers gave; of equals that of the smallest holder id. */
export function mostNamed(
  records: readonly LockRecord[],
): { readonly record: LockRecord; readonly times: number } | undefined {
  const named = new Map<string, { record: LockRecord; times: number }>();
  for (const record of records) {
    const entry = named.get(record.holder);
    if (!entry) named.set(record.holder, { record, times: 1 });
    else {
      entry.times++;
      // A minority may still have the votes of an earlier attempt, which were given back.
      const since = Math.max(record.since, entry.record.since);
      const longest = record.remaining > entry.record.remaining ? record : entry.record;
      entry.record = { ...longest, since };
    }
  }
  return [...named.values()].sort((a, b) => b.times - a.times || (a.record.holder < b.record.holder ? -1 : 1))[0];
}
