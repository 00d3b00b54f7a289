import type { LockRecord, TokenBlock } from '../../core/lock-driver.js';
import { quorumOf, type Tally, tooFew } from './quorum.js';

/** One server's answer to a request for a lease: its vote, or who has it. Null: the claim was given back before. */
export type Vote = TokenBlock | { readonly record: LockRecord | null };

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
  const votes = tally.answers.filter((vote) => 'tokens' in vote);
  if (votes.length >= quorum) return { status: 'won', votes };
  if (tally.failures.length >= quorum) throw tooFew(tally);
  if (tally.answers.length < quorum || votes.length + tally.pending >= quorum) return undefined;

  const records = tally.answers.flatMap((vote) => ('tokens' in vote || !vote.record ? [] : [vote.record]));
  const leader = mostNamed(records);
  if (!leader || leader.times >= quorum) return { status: 'lost', record: leader?.record ?? null };
  const { record, times } = mostNamed(records.filter((rival) => !letPass.has(rival.holder))) ?? { times: 0 };
  const rivals = [...new Set(records.map((rival) => rival.holder))];
  const isAhead = votes.length > times || (votes.length === times && record !== undefined && holder < record.holder);
  return { status: isAhead && votes.length > 0 ? 'ahead' : 'behind', record: record ?? leader.record, rivals };
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
      if (record.remaining > entry.record.remaining) entry.record = record;
    }
  }
  return [...named.values()].sort((a, b) => b.times - a.times || (a.record.holder < b.record.holder ? -1 : 1))[0];
}

/**
 * The block of tokens that a quorum of `size` servers reserved, or else the one that has to be raised on a quorum
 * before it may be used.
 *
 * Why tokens of a key strictly increase, as long as servers keep their data: a grant is delivered once a quorum Q has
 * reserved its whole block while it had voted for the holder. Every later grant has the votes of a quorum too, so at
 * least one of them comes from a server in Q, after the block was reserved there, and that server answered with a token
 * above it. If a quorum answered with one and the same number, that server is among them, or another one that Q shares
 * with this quorum; else the largest number of all votes is taken, which is not below its answer.
 */
export function agreed(
  votes: readonly TokenBlock[],
  size: number,
): { readonly block: TokenBlock; readonly isReserved: boolean } {
  const quorum = quorumOf(size);
  for (const { fencingToken } of votes) {
    const same = votes.filter((vote) => vote.fencingToken === fencingToken);
    if (same.length < quorum) continue;
    return { block: { fencingToken, tokens: smallest(same) }, isReserved: true };
  }
  const fencingToken = Math.max(...votes.map((vote) => vote.fencingToken));
  return { block: { fencingToken, tokens: smallest(votes) }, isReserved: false };
}

const smallest = (blocks: readonly TokenBlock[]): number => Math.min(...blocks.map(({ tokens }) => tokens));
