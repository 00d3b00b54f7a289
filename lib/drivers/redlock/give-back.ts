import type { LeaseRef } from '../../core/lock-driver.js';
import { ScriptCall } from '../redis/commands/script-call.js';
import { channelOf, givenBackKey, leaseKey, waitersKey } from './lease-text.js';
import { firstQuorum, patienceFor } from './quorum.js';
import { scripts } from './scripts/scripts.generated.js';
import type { ServerSet } from './server-set.js';
import type { Server } from './server.js';

/** So long a holder that was given back is remembered, in milliseconds: as with RedisDriver, which says why. */
const REMEMBERED = 60_000;

/** Where a lease may be. */
export interface Votes {
  /** Servers that may have given it their vote. */
  readonly open: readonly Server[];
  /** Servers that were not asked for it, and will not be. */
  readonly unasked: readonly Server[];
  /** The bits of the servers on which a request for it may yet be executed. */
  readonly late: number;
}

/**
 * Gives a lease back. Resolves when a quorum of servers is free for others, those counted that were never asked.
 *
 * True when a quorum may have been this holder's: of any quorum that answers, at least one server knew it then.
 *
 * @throws DriverUnavailableError when too few answered
 */
export async function giveBack(servers: ServerSet, lease: LeaseRef, votes: Votes): Promise<boolean> {
  const { open, unasked, late } = votes;
  const call = release(lease, false);
  const answers = open.map((server) => server.send(late & server.bit ? release(lease, true) : call));
  const free = unasked.filter(({ isAside }) => !isAside).length;
  return (await firstQuorum(answers, patienceFor(lease.ttl), servers.quorum - free)).includes(1);
}

/**
 * The end of a holder, or of its rounds up to one.
 *
 * @param isRemembered so that a request which comes late gets nothing
 */
export function release(lease: LeaseRef, isRemembered: boolean, round: number | '' = ''): ScriptCall {
  const keys = [leaseKey(lease), waitersKey(lease)];
  const args: (string | number)[] = [lease.holder, channelOf(lease.key)];
  if (round !== '' || isRemembered) args.push(round);
  if (isRemembered) {
    keys.push(givenBackKey(lease));
    args.push(REMEMBERED);
  }
  return new ScriptCall(scripts.release, keys, args);
}
