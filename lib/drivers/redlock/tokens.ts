import type { LeaseRef, TokenBlock } from '../../core/lock-driver.js';
import { bucketOf, leaseKey, marksKey } from './lease-text.js';
import { TOKENS } from './proposals.js';
import { patienceFor, poll, quorumOf, tooFew } from './quorum.js';
import { scripts } from './scripts/scripts.generated.js';
import type { ServerSet } from './server-set.js';

export const lastOf = ({ fencingToken, tokens }: TokenBlock): number => fencingToken + tokens - 1;

/**
 * The block of tokens that a quorum of `size` servers reserved, or else the one that has to be raised on a quorum
 * before it may be used.
 *
 * Why tokens of a key strictly increase, as long as the servers keep their data: a grant is delivered once a quorum has
 * reserved its block, each server while the holder had its vote. A later grant counts votes of a quorum, too, so one of
 * these is from a server that had reserved the earlier block, and is above it. If a quorum answered with one number, a
 * server of the first quorum is among those; else the largest number of all votes is taken, which is not below its own.
 * What a server has reserved for a key is never above its mark for the key's bucket, so that the mark may stand for it.
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

/** A further block of tokens for a lease; null when it is gone. */
export async function reserve(servers: ServerSet, lease: LeaseRef): Promise<TokenBlock | null> {
  const { quorum, size } = servers;
  const proposed = servers.proposals.next();
  const args = [lease.holder, bucketOf(lease), proposed.fencingToken, lastOf(proposed)];
  const tokens = await poll({
    first: servers.run(scripts.reserve, [leaseKey(lease), marksKey(lease)], args),
    patience: patienceFor(lease.ttl),
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

/** Raises the tokens of a lease to a block. False when a quorum of servers has not got the lease any more. */
export async function raise(servers: ServerSet, lease: LeaseRef, block: TokenBlock): Promise<boolean> {
  const { quorum } = servers;
  const args = [lease.holder, bucketOf(lease), block.fencingToken, lastOf(block)];
  return poll({
    first: servers.run(scripts.raise, [leaseKey(lease), marksKey(lease)], args),
    patience: patienceFor(lease.ttl),
    decide(tally) {
      const raised = tally.answers.filter((answer) => answer === 1).length;
      if (raised >= quorum) return true;
      if (tally.failures.length >= quorum) throw tooFew(tally);
      return raised + tally.pending < quorum ? false : undefined;
    },
  });
}
