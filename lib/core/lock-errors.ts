import type { Milliseconds } from './duration.js';
import { DistLockError } from './errors.js';

/**
 * The known facts about the hold that is in the way. A fact that is not known is undefined.
 *
 * @inline
 */
export interface HoldFacts {
  /** The noun and the name, for people: `Lock "order:42"`, `Election "default"`. Undefined: the lock of the key. */
  readonly subject?: string | undefined;
  /** The start of the hold, in milliseconds since 1970. */
  readonly since?: number | undefined;
  /** The rest of the lease, unless it is renewed. */
  readonly remaining?: Milliseconds | undefined;
  /** True when this very instance holds the key. */
  readonly heldHere?: boolean | undefined;
  /** The place in the code that acquired the key, if this instance did so by `acquire` or `tryAcquire`. */
  readonly acquiredAt?: string | undefined;
}

/** Others held the lock for the whole `wait` of the caller, or at each of its `attempts`. */
export class LockNotAcquiredError extends DistLockError {
  /** The start of the other hold, in milliseconds since 1970; undefined where it is not known. */
  readonly since: number | undefined;
  /** The rest of the other lease, unless it is renewed; undefined where it is not known. */
  readonly remaining: Milliseconds | undefined;
  /** True when this very instance holds the lock: by another call, or by this call, which then waited for itself. */
  readonly heldHere: boolean;
  /**
   * The place in the code that acquired the lock. Known only where this very instance holds the lock by `acquire` or
   * `tryAcquire`, and noted the place. The message leaves the place out, because a stranger may read the message.
   */
  readonly acquiredAt: string | undefined;

  constructor(
    /** The key of the lock, as the caller named it; the name of the election for a leader's lease. */
    readonly key: string,
    /** The time that the caller waited. */
    readonly waited: Milliseconds,
    /** The id of the instance that held the lock when the wait ended; undefined where it is not known. */
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

/** No further caller may wait for the lock: `lock.maxWaiting` or `lock.maxWaitingPerKey` is reached. */
export class TooManyWaitingError extends DistLockError {
  /** The time after which a new request makes sense. */
  readonly retryAfter: Milliseconds = 1000;

  constructor(
    /** The key of the lock. */
    readonly key: string,
    /** The number of callers of this instance that wait: for any lock, or for this one, whichever limit is reached. */
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
 * The reason for which a lock is no longer held:
 *
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

/** The lease behind a lock ended while the lock was in use. A lost lock never comes back. */
export class LockLostError extends DistLockError {
  /** The time at which the lock was acquired, in milliseconds since 1970; undefined where it is not known. */
  readonly since: number | undefined;
  /** The rest of the lease: 0 when the lease was over, more with the reason `ending`. */
  readonly remaining: Milliseconds;

  constructor(
    /** The key of the lock. */
    readonly key: string,
    /** The fencing token of the lost lock. */
    readonly fencingToken: number,
    /** The reason of the loss. */
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

/** This async call chain already holds the lock that it asks for, so a wait could never end. */
export class NestedLockError extends DistLockError {
  /**
   * The time at which this call chain acquired the lock, in milliseconds since 1970; undefined where it is not known.
   */
  readonly since: number | undefined;
  /** The rest of the lease, unless it is renewed; undefined where it is not known. */
  readonly remaining: Milliseconds | undefined;

  constructor(
    /** The key of the lock. */
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
