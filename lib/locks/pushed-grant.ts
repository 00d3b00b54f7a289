import { type Claim, type Granted, heartbeat } from '../core/lock-driver.js';

/** Heartbeats for which a lease is armed at most when it is passed on. */
const MOST_HEARTBEATS = 4;
const MOST_TOKENS = 64;
/** Where tokens are microseconds of the store's clock, an hour. A holder that had the lease for longer costs a request. */
const FARTHEST = 3_600_000_000;

/**
 * The part of a pushed grant that the engine believes until the first renewal confirms it: everybody who can publish can
 * forge a push. Undefined: none of it, the store has to be asked.
 *
 * Not covered: a forged grant that can be true gives a lock for up to four heartbeats, with a token of up to an hour
 * ahead.
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
