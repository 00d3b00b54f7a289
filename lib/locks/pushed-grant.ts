import { type Claim, type Granted, heartbeat } from '../core/lock-driver.js';

/** Heartbeats for which a lease is armed at most when it is passed on. */
const MOST_HEARTBEATS = 4;
const MOST_TOKENS = 64;
/** Where tokens are microseconds of the store's clock, an hour. A holder that had the lease for longer costs a request. */
const FARTHEST = 3_600_000_000;

/**
 * What a grant counts for that came as an event, until its first renewal tells whether it is true: whoever can publish
 * can forge one. Undefined: nothing, the store is to be asked. A forged grant that can be true still gives a lock for up to
 * four heartbeats, and a token of up to an hour ahead.
 *
 * @param last the fencing token of the holder before
 */
export function believable(pushed: Granted, { ttl }: Claim, last: number): Granted | undefined {
  const { status, fencingToken, tokens, waiters } = pushed;
  const isPossible =
    status === 'granted' &&
    [fencingToken, tokens, waiters].every((number) => Number.isSafeInteger(number)) &&
    Number.isSafeInteger(fencingToken + tokens) &&
    fencingToken > last &&
    fencingToken - last < FARTHEST &&
    tokens > 0 &&
    waiters >= 0 &&
    Number.isFinite(pushed.ttl) &&
    pushed.ttl > 0;
  if (!isPossible) return undefined;
  const armed = Math.min(pushed.ttl, MOST_HEARTBEATS * heartbeat(ttl));
  return { ...pushed, tokens: Math.min(tokens, MOST_TOKENS), ttl: armed };
}
