/**
 * The errors of this package. The errors about a held lock are in lock-errors.ts.
 *
 * 1. Each error has a stable `code`, and a `statusCode` that Nest's exception filter turns into the HTTP status.
 * 2. A message names the key or the option, and the fix. It holds no secret.
 */
import { printable } from './printable.js';

/** The stable codes of the errors of this package. `docs/errors.md` lists them with their fixes. */
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

/** On an error of a framework that a request is answered with: the error of this package behind it. */
const STANDS_FOR = Symbol.for('nestjs-dist-lock/stands-for');

/** The base of all errors of this package. */
export class DistLockError extends Error {
  /** An exception of Nest that answers a request in place of such an error passes for the error, too. */
  static override [Symbol.hasInstance](value: unknown): boolean {
    const isOne = Function.prototype[Symbol.hasInstance];
    return isOne.call(this, value) || (isStandIn(value) && isOne.call(this, value[STANDS_FOR]));
  }

  constructor(
    /** The stable code of this kind of error. */
    readonly code: DistLockErrorCode,
    message: string,
    /** The HTTP status of the answer when nothing catches the error. */
    readonly statusCode = 500,
    options?: ErrorOptions,
  ) {
    super(printable(message), options);
    this.name = new.target.name;
  }

  /**
   * The same as `statusCode`: Nest answers with the status of an error that has `status`, `statusCode` and `expose`.
   */
  get status(): number {
    return this.statusCode;
  }

  /** False: the message names keys and instances, which no client may see. */
  get expose(): boolean {
    return false;
  }
}

export function isStandIn(value: unknown): value is Error & { readonly [STANDS_FOR]: DistLockError } {
  return typeof value === 'object' && value !== null && STANDS_FOR in value;
}

/**
 * Lets an exception of a framework pass for an error of this package: by `instanceof`, with the fields of the error and
 * with the error as `cause`. All of these are left out where somebody writes the exception as JSON.
 */
export function standIn<Exception extends Error>(exception: Exception, error: DistLockError): Exception {
  const { name: _name, ...fields } = error;
  for (const [field, value] of Object.entries({ ...fields, cause: error })) define(exception, field, value);
  return define(exception, STANDS_FOR, error);
}

function define<Target extends object>(target: Target, property: PropertyKey, value: unknown): Target {
  return Object.defineProperty(target, property, { value, writable: true, configurable: true, enumerable: false });
}

/** Leader-only code was called on an instance that does not lead. */
export class NotLeaderError extends DistLockError {
  constructor(
    /** The name of the election. */
    readonly election: string,
    /** The leader that this instance knows of, by `instance.id` and `instance.url`; null where it knows of none. */
    readonly leader: { readonly id: string; readonly url?: string } | null,
    /** The time after which a new request makes sense, in milliseconds. */
    readonly retryAfter: number,
  ) {
    const who = leader ? `${leader.id} leads` : 'no leader is known';
    super('NOT_LEADER', `This instance does not lead election "${election}"; ${who}.`, 503);
  }
}

/** Leadership cannot be passed to the named instance: it is no member of the election, or does not campaign. */
export class MemberNotFoundError extends DistLockError {
  constructor(
    /** The name of the election. */
    readonly election: string,
    /** The `instance.id` of the named instance. */
    readonly member: string,
    /** The ids of the instances that campaign. */
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

/**
 * A key is empty, too long, or could not be built. `statusCode` is 400 where an argument of the call caused it, and 500
 * where the code did.
 */
export class LockKeyError extends DistLockError {
  constructor(message: string, statusCode: 400 | 500 = 500) {
    super('LOCK_KEY', message, statusCode);
  }
}

/**
 * An option has a wrong value, or the store refuses requests for a reason that only a change of configuration fixes.
 */
export class LockConfigError extends DistLockError {
  constructor(message: string, options?: ErrorOptions) {
    super('LOCK_CONFIG', message, 500, options);
  }
}

/** The store could not be asked. The error says nothing about the holder of a lock. */
export class DriverUnavailableError extends DistLockError {
  /** False when the request is known not to have been executed. True when its outcome is unknown. */
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
