import type { LeaseRef } from '../../core/lock-driver.js';
import { ScriptCall } from '../redis/script-call.js';
import { channelOf, givenBackKey, leaseKey, waitersKey } from './lease-text.js';
import { patienceFor, poll, tooFew } from './quorum.js';
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
 * Gives a lease back. Resolves when a quorum of servers is free for others, those counted that were never asked. What
 * is left is told with whatever is sent to it next, or a moment later, unless somebody waits: `isWanted`.
 *
 * True when a quorum may have been this holder's: of any quorum that answers, at least one server knew it then.
 *
 * @throws DriverUnavailableError when too few answered
 */
export async function giveBack(servers: Servers, lease: LeaseRef, votes: Votes, isWanted: boolean): Promise<boolean> {
  const { key, holder, ttl } = lease;
  const { open, unasked, strays } = votes;
  const keys = [leaseKey(lease), waitersKey(lease), givenBackKey(lease)];
  const call = (remember: number): ScriptCall =>
    new ScriptCall(scripts.release, keys, [holder, '', remember, channelOf(key)]);
  const forget = call(0);
  const tell = (server: Server): Promise<unknown> =>
    server.send(strays.includes(server) ? call(Math.max(ttl, GIVEN_BACK_FOR)) : forget);

  const enough = servers.quorum - unasked.filter(({ isAside }) => !isAside).length;
  const first = isWanted || strays.length > 0 ? open : open.slice(0, enough);
  const rest = open.slice(first.length);
  let isLeft = true;
  const answers = await poll({
    first: first.map(tell),
    rest: {
      size: rest.length,
      ask: () => {
        isLeft = false;
        return rest.map(tell);
      },
    },
    patience: patienceFor(ttl),
    decide(tally) {
      if (tally.answers.length >= enough) return tally.answers;
      if (tally.answers.length + tally.pending < enough) throw tooFew(tally);
      return undefined;
    },
  });
  if (isLeft) for (const server of rest) server.sendSoon(forget);
  return answers.includes(1);
}
