import type { LeaseRef, TokenBlock } from '../../core/lock-driver.js';
import { bucketOf, leaseKey, marksKey } from './lease-text.js';
import { TOKENS } from './proposals.js';
import { quorumOf, timeoutOf, tooFew } from './quorum.js';
import { scripts } from './scripts/scripts.generated.js';
import type { ServerSet } from './server-set.js';

export const lastOf = ({ fencingToken, tokens }: TokenBlock): number => fencingToken + tokens - 1;

/**
 * The block of tokens that a quorum of `size` servers reserved. Where there is none: the block that has to be raised on a
 * quorum before it may be used.
 *
 * The tokens of a key strictly increase (S7), because:
 *
 * 1. A grant is delivered only after a quorum has reserved its block, each server while it had given the holder its vote.
 * 2. A later grant counts the votes of a quorum, too. The two quorums share a server. That server had reserved the
 *    earlier block, so its vote is above that block.
 * 3. Where a quorum answered with one number, the shared server is among them. Otherwise the largest number of all votes
 *    is taken, which is not below the number of the shared server.
 * 4. The largest token that a server has reserved for a key is never above its mark for the bucket of the key. So the
 *    mark may stand for it.
 *
 * Not covered:
 * - a server that lost its data: tokens then increase only as far as the clocks of the servers agree.
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

/** Reserves a further block of tokens for a lease; null when the lease is gone. */
export async function reserve(servers: ServerSet, lease: LeaseRef): Promise<TokenBlock | null> {
  const { quorum, size } = servers;
  const proposed = servers.proposals.next();
  const args = [lease.holder, bucketOf(lease), proposed.fencingToken, lastOf(proposed)];
  const tokens = await servers.polls.ask({
    first: servers.run(scripts.reserve, [leaseKey(lease), marksKey(lease)], args),
    timeout: timeoutOf(lease.ttl),
    decide(tally) {
      const reserved = tally.answers.filter((answer) => answer !== 0);
      if (reserved.length >= quorum) return reserved.map(Number);
      if (tally.failures.length >= quorum) throw tooFew(tally);
      return reserved.length + tally.pending < quorum ? [] : undefined;
    },
  });
  if (tokens.length === 0) return null;
  const votes = tokens.map((fencingToken) => ({ fencingToken, tokens: TOKENS }));
  const { block, isReserved } = agreed(votes, size);
  return isReserved || (await raise(servers, lease, block)) ? block : null;
}

/** Raises the tokens of a lease to a block. False when a quorum of servers does not have the lease any more. */
export async function raise(servers: ServerSet, lease: LeaseRef, block: TokenBlock): Promise<boolean> {
  const { quorum } = servers;
  const args = [lease.holder, bucketOf(lease), block.fencingToken, lastOf(block)];
  return servers.polls.ask({
    first: servers.run(scripts.raise, [leaseKey(lease), marksKey(lease)], args),
    timeout: timeoutOf(lease.ttl),
    decide(tally) {
      const raised = tally.answers.filter((answer) => answer === 1).length;
      if (raised >= quorum) return true;
      if (tally.failures.length >= quorum) throw tooFew(tally);
      return raised + tally.pending < quorum ? false : undefined;
    },
  });
}
