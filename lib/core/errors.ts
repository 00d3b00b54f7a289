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
    super(message, options);
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

/** The lock was held by somebody else for all the time, or all the attempts, that the caller was prepared to wait. */
export class LockNotAcquiredError extends DistLockError {
  constructor(
    readonly key: string,
    /** Milliseconds spent waiting. */
    readonly waited: number,
    /** Id of the instance that held the lock when the wait ended, where it is known. */
    readonly heldBy?: string,
  ) {
    const by = heldBy === undefined ? 'another holder' : `instance ${heldBy}`;
    super('LOCK_NOT_ACQUIRED', `Lock "${key}" is held by ${by}; gave up after ${Math.round(waited)} ms.`, 409);
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
  constructor(
    readonly key: string,
    readonly fencingToken: number,
    readonly reason: LossReason,
    options?: ErrorOptions,
  ) {
    super('LOCK_LOST', `Lock "${key}" (fencing token ${fencingToken}) ${lossText[reason]}.`, 409, options);
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
  constructor(readonly key: string) {
    super(
      'LOCK_NESTED',
      `Lock "${key}" is already held by this call chain, which would wait for itself. ` +
        'Pass { reentrant: true } to share the lock, or call the inner code without a lock.',
    );
  }
}
