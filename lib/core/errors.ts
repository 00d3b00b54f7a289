import { printable } from './printable.js';

/**
 * Every error of this package. Each has a stable `code`, and a `statusCode` that Nest's default exception filter
 * turns into the HTTP status. Messages name the key or the option and say how to mend it; they never hold secrets.
 */
export type DistLockErrorCode =
  | 'DRIVER_UNAVAILABLE'
  | 'LOCK_CONFIG'
  | 'LOCK_KEY'
  | 'LOCK_LOST'
  | 'LOCK_NESTED'
  | 'LOCK_NOT_ACQUIRED'
  | 'LOCK_NOT_BOUND'
  | 'LOCK_SERVICE_CLOSED'
  | 'LOCK_TOO_MANY_WAITING'
  | 'MEMBER_NOT_FOUND'
  | 'NOT_LEADER';

/** The base of all errors of this package. */
export class DistLockError extends Error {
  constructor(
    readonly code: DistLockErrorCode,
    message: string,
    readonly statusCode = 500,
    options?: ErrorOptions,
  ) {
    super(printable(message), options);
    this.name = new.target.name;
  }

  // What Nest's default exception filter looks for, beside `statusCode`, before it answers with anything but 500.
  get status(): number {
    return this.statusCode;
  }

  /** Whether the message may be told to whoever sent the request. */
  get expose(): boolean {
    return this.statusCode < 500;
  }
}

/**
 * What is known of the hold that is in the way. Durations are milliseconds.
 *
 * @inline
 */
export interface HoldFacts {
  /** The noun and the name, for people: `Lock "order:42"`, `Election "default"`. Default: the lock of that key. */
  readonly subject?: string | undefined;
  /** Milliseconds since 1970: when the key was granted to whoever holds it, where it is known. */
  readonly since?: number | undefined;
  /** For how long the lease lasts unless it is renewed, where it is known. */
  readonly remaining?: number | undefined;
  /** Whether this very instance holds it. */
  readonly heldHere?: boolean | undefined;
  /** Where in the code it was acquired, where this instance did so by `acquire` or `tryAcquire`. */
  readonly acquiredAt?: string | undefined;
}

/** The lock was held by somebody else for all the time, or all the attempts, that the caller was prepared to wait. */
export class LockNotAcquiredError extends DistLockError {
  /** When the key was granted to its holder, in milliseconds since 1970, where it is known. */
  readonly since: number | undefined;
  /** Milliseconds until the lease in the way ends unless it is renewed, where it is known. */
  readonly remaining: number | undefined;
  /** Whether this very instance holds the lock: another call of it, or this one, which then waited for itself. */
  readonly heldHere: boolean;
  /**
   * Where in the code it was acquired, where this very instance holds it by `acquire` or `tryAcquire` and the place was
   * noted. Not part of the message, which may reach a stranger.
   */
  readonly acquiredAt: string | undefined;

  constructor(
    readonly key: string,
    /** Milliseconds spent waiting. */
    readonly waited: number,
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

/** More callers wait than `lock.maxWaiting` or `lock.maxWaitingPerKey` allows: this one was not let in. */
export class TooManyWaitingError extends DistLockError {
  /** Milliseconds after which it makes sense to ask again. */
  readonly retryAfter = 1000;

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
 * `expired`: not renewed in time. `gone`: the store no longer knows us. `shutdown`: the grace period ended first.
 * From `ensure()` only: `ending`, less time is left than was asked for; `released`, the handle was given back.
 */
export type LossReason = 'expired' | 'gone' | 'shutdown' | 'ending' | 'released';

const lossText: Record<LossReason, string> = {
  expired: 'could not be renewed in time',
  gone: 'is no longer ours in the store',
  shutdown: 'was given up because the shutdown grace period ended',
  ending: 'has less time left than was asked for',
  released: 'was already released',
};

/** The lease behind a lock ended while the lock was in use. Final: a lost lock never comes back. */
export class LockLostError extends DistLockError {
  /** When it was acquired, in milliseconds since 1970, where it is known. */
  readonly since: number | undefined;
  /** Milliseconds that were left of the lease; 0 when it was over. */
  readonly remaining: number;

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

/** Leader-only code was called on an instance that does not lead. */
export class NotLeaderError extends DistLockError {
  constructor(
    readonly election: string,
    /** The leader, as far as this instance knows it. */
    readonly leader: { readonly id: string; readonly url?: string } | null,
    /** Milliseconds after which it makes sense to ask again. */
    readonly retryAfter: number,
  ) {
    const who = leader ? `${leader.id} leads` : 'no leader is known';
    super('NOT_LEADER', `This instance does not lead election "${election}"; ${who}.`, 503);
  }
}

/** Leadership cannot be passed to this instance: it is no member of the election, or does not campaign. */
export class MemberNotFoundError extends DistLockError {
  constructor(
    readonly election: string,
    /** Id of the instance. */
    readonly member: string,
    /** Ids of the instances that campaign. */
    readonly candidates: readonly string[],
  ) {
    super(
      'MEMBER_NOT_FOUND',
      `Instance "${member}" does not campaign in election "${election}", so it cannot lead. ` +
        (candidates.length === 0 ? 'No other instance campaigns.' : `Candidates: ${candidates.join(', ')}.`),
      404,
    );
  }
}

/** A key is empty, too long, or could not be built. */
export class LockKeyError extends DistLockError {
  constructor(message: string) {
    super('LOCK_KEY', message);
  }
}

/** An option has a wrong value, or the store refuses us for a reason that only a change of configuration mends. */
export class LockConfigError extends DistLockError {
  constructor(message: string, options?: ErrorOptions) {
    super('LOCK_CONFIG', message, 500, options);
  }
}

/** The store could not be asked. Says nothing about who holds a lock. */
export class DriverUnavailableError extends DistLockError {
  /** False when the request is known not to have been executed; true when its outcome is unknown. */
  readonly sent: boolean;

  constructor(message: string, options: ErrorOptions & { sent: boolean }) {
    super('DRIVER_UNAVAILABLE', message, 503, options);
    this.sent = options.sent;
  }
}

/** The application is shutting down and takes no new locks. */
export class LockServiceClosedError extends DistLockError {
  constructor() {
    super('LOCK_SERVICE_CLOSED', 'The lock service is closed: the application is shutting down.', 503);
  }
}

/** A decorated method was called on an object that Nest did not create. */
export class LockNotBoundError extends DistLockError {
  constructor(message: string) {
    super('LOCK_NOT_BOUND', message);
  }
}

/** This async call chain already holds the lock that it now asks for: waiting for it could never end. */
export class NestedLockError extends DistLockError {
  /** When this call chain acquired it, in milliseconds since 1970, where it is known. */
  readonly since: number | undefined;
  /** Milliseconds until the lease ends unless it is renewed, where it is known. */
  readonly remaining: number | undefined;

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

function whole(milliseconds: number): number {
  return Math.round(milliseconds);
}
