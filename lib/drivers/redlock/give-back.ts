import type { LeaseRef } from '../../core/lock-driver.js';
import { ScriptCall } from '../redis/script-call.js';
import { channelOf, givenBackKey, leaseKey, waitersKey } from './lease-text.js';
import { firstQuorum, patienceFor } from './quorum.js';
import { scripts } from './scripts/scripts.generated.js';
import type { Server } from './server.js';
import type { Servers } from './servers.js';

/** A holder that was given back is remembered for its TTL, and at least this long, in milliseconds. */
export const GIVEN_BACK_FOR = 60_000;

/** Where a lease may be. */
export interface Votes {
  /** Servers that may have given it their vote. */
  readonly open: readonly Server[];
  /** Servers that were not asked for it, and will not be. */
  readonly unasked: readonly Server[];
  /** Servers on which a request for it may yet be executed. */
  readonly strays: readonly Server[];
}

/**
 * Gives a lease back. Resolves when a quorum of servers is free for others, those counted that were never asked.
 *
 * True when a quorum may have been this holder's: of any quorum that answers, at least one server knew it then.
 *
 * @throws DriverUnavailableError when too few answered
 */
export async function giveBack(servers: Servers, lease: LeaseRef, votes: Votes): Promise<boolean> {
  const { open, unasked, strays } = votes;
  const call = release(lease, 0);
  const answers = open.map((server) =>
    server.send(strays.includes(server) ? release(lease, Math.max(lease.ttl, GIVEN_BACK_FOR)) : call),
  );
  const free = unasked.filter(({ isAside }) => !isAside).length;
  return (await firstQuorum(answers, patienceFor(lease.ttl), servers.quorum - free)).includes(1);
}

/**
 * The end of a holder, or of one round of it.
 *
 * @param remember milliseconds for which it counts as given back, so that a request that comes late gets nothing
 */
export function release(lease: LeaseRef, remember: number, round: number | '' = ''): ScriptCall {
  const keys = [leaseKey(lease), waitersKey(lease)];
  const args: (string | number)[] = [lease.holder, channelOf(lease.key)];
  if (round !== '' || remember > 0) args.push(round, remember);
  if (remember > 0) keys.push(givenBackKey(lease, round));
  return new ScriptCall(scripts.release, keys, args);
}
