import type { LeaseRef } from '../../core/lock-driver.js';
import { ScriptCall } from '../redis/commands/script-call.js';
import { channelOf, givenBackKey, leaseKey, waitersKey } from './lease-text.js';
import { timeoutOf } from './quorum.js';
import { scripts } from './scripts/scripts.generated.js';
import type { ServerSet } from './server-set.js';
import type { Server } from './server.js';

/** Milliseconds for which a holder that was given back is remembered, as in RedisDriver. */
const REMEMBERED = 60_000;

/** The servers on which a lease may be. */
export interface Votes {
  /** Servers that may have given it their vote. */
  readonly open: readonly Server[];
  /** Servers that were not asked for it, and never will be. */
  readonly unasked: readonly Server[];
  /** The bits of the servers on which a request for it may still be executed. */
  readonly late: number;
}

/**
 * Gives a lease back. Resolves when a quorum of servers is free for others. Servers that were never asked count.
 *
 * Resolves with true when this holder may have had a quorum: any quorum of answers then has one of a server that knew it.
 *
 * @throws DriverUnavailableError when too few answered
 */
export async function giveBack(servers: ServerSet, lease: LeaseRef, votes: Votes): Promise<boolean> {
  const { open, unasked, late } = votes;
  const call = release(lease, false);
  const answers = open.map((server) => server.send(late & server.bit ? release(lease, true) : call));
  const free = unasked.filter(({ isAside }) => !isAside).length;
  return (await servers.polls.firstQuorum(answers, timeoutOf(lease.ttl), servers.quorum - free)).includes(1);
}

/**
 * The call that ends a holder, or its rounds up to a given one.
 *
 * @param isRemembered true: the server remembers the end, so that a late request gets nothing
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
