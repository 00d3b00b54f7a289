import type { LockRecord, TokenBlock } from '../../core/lock-driver.js';
import { recordOf } from '../redis/lease-format.js';
import { quorumOf, type Tally, tooFew } from './quorum.js';

/** One server's answer to a request for a lease: its vote, or who has it. Null: the claim was given back before. */
export type Vote = TokenBlock | { readonly record: LockRecord | null };

/** As acquire.lua gives it. */
export type Reply = 1 | string | [token: string] | [remaining: number, lease: string] | [];

export function toVote(reply: Reply, proposed: TokenBlock): Vote {
  if (reply === 1) return proposed;
  if (typeof reply === 'string') return { ...proposed, fencingToken: Number(reply) };
  const [first, lease] = reply;
  // Others of its block may be in use.
  if (typeof first === 'string') return { fencingToken: Number(first), tokens: 1 };
  return { record: lease === undefined ? null : recordOf(first ?? 0, lease, 0) };
}

export type Result =
  | { readonly status: 'won'; readonly votes: readonly TokenBlock[] }
  /** Somebody has a majority, or we cannot get one before others let go. */
  | { readonly status: 'lost'; readonly record: LockRecord | null }
  /** Nobody has a majority, and of those who asked we should get it: the others give their votes back. */
  | { readonly status: 'ahead' | 'behind'; readonly record: LockRecord; readonly rivals: readonly string[] };

/**
 * What the votes of `size` servers come to, or undefined while the answers that are missing could change it.
 *
 * A split vote is settled without chance: all who see it know who has most votes, of equals the smallest holder id,
 * and all but that one let go. Whoever was let pass before and did not get the lease may be dead: it counts no longer.
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
  // Most of the time it is not decided yet, or all are ours.
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
 * Whether a claim that may have been granted before has to wait for more answers: a quorum may yet turn out to know it by
 * one token, which then has to be the answer again. Servers that were not needed for the grant have given it another.
 */
export function mayBeGrantedBefore({ answers, pending }: Tally<Vote>, size: number): boolean {
  const quorum = quorumOf(size);
  const before = answers.flatMap((vote) => ('tokens' in vote && vote.tokens === 1 ? [vote.fencingToken] : []));
  const times = Math.max(0, ...before.map((token) => before.filter((other) => other === token).length));
  return times > 0 && times < quorum && times + pending >= quorum;
}

/** The record that most servers gave, of equals that of the smallest holder id. */
export function mostNamed(
  records: readonly LockRecord[],
): { readonly record: LockRecord; readonly times: number } | undefined {
  const named = new Map<string, { record: LockRecord; times: number }>();
  for (const record of records) {
    const entry = named.get(record.holder);
    if (!entry) named.set(record.holder, { record, times: 1 });
    else {
      entry.times++;
      // A server that gave its vote later does not know since when.
      const since = Math.min(record.since, entry.record.since);
      const longest = record.remaining > entry.record.remaining ? record : entry.record;
      entry.record = { ...longest, since };
    }
  }
  return [...named.values()].sort((a, b) => b.times - a.times || (a.record.holder < b.record.holder ? -1 : 1))[0];
}
