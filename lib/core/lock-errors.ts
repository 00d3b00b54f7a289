import type { Milliseconds } from './duration.js';
import { DistLockError } from './errors.js';

/**
 * What is known of the hold that is in the way.
 *
 * @inline
 */
export interface HoldFacts {
  /** The noun and the name, for people: `Lock "order:42"`, `Election "default"`. Default: the lock of that key. */
  readonly subject?: string | undefined;
  /** When the key was granted to its holder, in milliseconds since 1970, where it is known. */
  readonly since?: number | undefined;
  /** The rest of the lease, unless it is renewed, where it is known. */
  readonly remaining?: Milliseconds | undefined;
  /** Whether this very instance holds it. */
  readonly heldHere?: boolean | undefined;
  /** Where in the code it was acquired, where this instance did so by `acquire` or `tryAcquire`. */
  readonly acquiredAt?: string | undefined;
}

/** Others held the lock for all the time, or at all the attempts, that the caller was prepared to wait. */
export class LockNotAcquiredError extends DistLockError {
  /** When the key was granted to its holder, in milliseconds since 1970, where it is known. */
  readonly since: number | undefined;
  /** Milliseconds until the lease in the way ends unless it is renewed, where it is known. */
  readonly remaining: Milliseconds | undefined;
  /** Whether this very instance holds the lock: another call of it, or this one, which then waited for itself. */
  readonly heldHere: boolean;
  /**
   * Where in the code it was acquired, where this very instance holds it by `acquire` or `tryAcquire` and the place was
   * noted. Not part of the message, which may reach a stranger.
   */
  readonly acquiredAt: string | undefined;

  constructor(
    readonly key: string,
    /** How long the caller waited. */
    readonly waited: Milliseconds,
    /** Id of the instance that held the lock when the wait ended, where it is known. */
    readonly heldBy?: string,
    facts: HoldFacts = {},
  ) {
    const { subject = `Lock "${key}"`, since, remaining, heldHere = false, acquiredAt } = facts;
    const instance = heldBy === undefined ? 'another holder' : `instance ${heldBy}`;
    const by = heldHere ? `this very instance (${heldBy})` : instance;
    const lasts =
      remaining === undefined ? '' : `, and its lease lasts for ${whole(remaining)} ms more unless it is renewed`;
    super(
      'LOCK_NOT_ACQUIRED',
      `${subject} is held by ${by}${sinceText(since)}${lasts}; gave up after ${whole(waited)} ms.`,
      409,
    );
    this.since = since;
    this.remaining = remaining;
    this.heldHere = heldHere;
    this.acquiredAt = acquiredAt;
  }
}

/** The caller was not let in: as many wait as `lock.maxWaiting` or `lock.maxWaitingPerKey` allows. */
export class TooManyWaitingError extends DistLockError {
  /** Time after which it makes sense to ask again. */
  readonly retryAfter: Milliseconds = 1000;

  constructor(
    readonly key: string,
    /** How many wait. */
    readonly waiting: number,
    option: string,
  ) {
    super(
      'LOCK_TOO_MANY_WAITING',
      `Lock "${key}": ${waiting} callers of this instance wait already, as many as ${option} allows. ` +
        `Ask again later, wait for less time, or raise ${option}.`,
      503,
    );
  }
}

/**
 * - `expired`: the lease was not renewed in time.
 * - `gone`: the store no longer knows the holder.
 * - `shutdown`: the grace period of the shutdown ended first.
 * - `max-hold`: it was held for as long as `maxHold` allows.
 *
 * From `ensure()` only:
 * - `ending`: less time is left than was asked for.
 * - `released`: the handle was given back.
 */
export type LossReason = 'expired' | 'gone' | 'shutdown' | 'max-hold' | 'ending' | 'released';

const lossText: Record<LossReason, string> = {
  expired: 'could not be renewed in time',
  gone: 'is no longer ours in the store',
  shutdown: 'was given up because the shutdown grace period ended',
  'max-hold': 'was held for as long as maxHold allows',
  ending: 'has less time left than was asked for',
  released: 'was already released',
};

/** The lease behind a lock ended while the lock was in use. Final: a lost lock never comes back. */
export class LockLostError extends DistLockError {
  /** When it was acquired, in milliseconds since 1970, where it is known. */
  readonly since: number | undefined;
  /** What was left of the lease; 0 when it was over. */
  readonly remaining: Milliseconds;

  constructor(
    readonly key: string,
    readonly fencingToken: number,
    readonly reason: LossReason,
    options: ErrorOptions & Pick<HoldFacts, 'subject' | 'since' | 'remaining'> = {},
  ) {
    const { subject = `Lock "${key}"`, since, remaining = 0, ...rest } = options;
    const left = reason === 'ending' ? `: ${whole(remaining)} ms` : '';
    const held = since === undefined ? '' : ` It was acquired at ${new Date(since).toISOString()}.`;
    super('LOCK_LOST', `${subject} (fencing token ${fencingToken}) ${lossText[reason]}${left}.${held}`, 409, rest);
    this.since = since;
    this.remaining = remaining;
  }
}

/** This async call chain already holds the lock that it now asks for: waiting for it could never end. */
export class NestedLockError extends DistLockError {
  /** When this call chain acquired it, in milliseconds since 1970, where it is known. */
  readonly since: number | undefined;
  /** Milliseconds until the lease ends unless it is renewed, where it is known. */
  readonly remaining: Milliseconds | undefined;

  constructor(
    readonly key: string,
    { subject = `Lock "${key}"`, since, remaining }: HoldFacts = {},
  ) {
    super(
      'LOCK_NESTED',
      `${subject} is already held by this call chain${sinceText(since)}, which would wait for itself. ` +
        'Pass { reentrant: true } to share the lock, or call the inner code without a lock. ' +
        'Where two arguments of a call may name the same key, lock it once.',
    );
    this.since = since;
    this.remaining = remaining;
  }
}

function sinceText(since: number | undefined): string {
  return since === undefined ? '' : ` since ${new Date(since).toISOString()}`;
}

function whole(milliseconds: Milliseconds): Milliseconds {
  return Math.round(milliseconds);
}
