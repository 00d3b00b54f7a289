import type { Duration, Milliseconds } from '../core/duration.js';
import type { TtlRange } from '../core/lock-driver.js';
import { OptionsCheck } from '../core/options-check.js';
import type { AcquireRequest, HoldLimits, WhenUnavailable } from './lock-request.js';

/** Options of `LockService.tryAcquire()`, and of all other ways to a lock. */
export interface TryOptions {
  /**
   * The time for which the store keeps the lock without a renewal. Others wait for that time if this process dies. The
   * lock is renewed every third of it. Each driver has a minimum.
   *
   * @defaultValue `lock.ttl` of the module, 15 s unless it is set
   */
  ttl?: Duration;
  /** Strings that the store keeps beside the lock, for people who look at it; at most 4096 bytes as JSON. */
  metadata?: Record<string, string>;
  /**
   * Shares the lock if this call chain holds it already, instead of failing with a NestedLockError.
   *
   * @defaultValue `false`
   */
  reentrant?: boolean;
  /**
   * The lock stays taken for this time at least, from its grant, however soon it is released. Others get it after that,
   * also when this process ends first. At most `ttl`.
   *
   * @defaultValue no such time
   */
  holdAtLeast?: Duration;
  /**
   * The lock is lost after this time, from its grant, with the reason `max-hold`: it is not renewed any more, and ends
   * with its TTL, or when it is released. Longer than `holdAtLeast`.
   *
   * @defaultValue no limit
   */
  maxHold?: Duration;
}

/** Options of `LockService.acquire()`, `withLock()` and `@WithLock()`. */
export interface AcquireOptions extends TryOptions {
  /**
   * The time that the caller waits for the lock, or `'forever'`. Then the call rejects with a LockNotAcquiredError.
   *
   * @defaultValue `lock.wait` of the module; unless that is set, 5 s longer than the TTL
   */
  wait?: Duration | 'forever';
  /** Ends the wait. The call then rejects with the reason of the signal. The signal does not end the lock. */
  signal?: AbortSignal;
  /** The number of tries, without queueing. Takes the place of `wait`: only one of the two may be set. */
  attempts?: number;
  /**
   * The time between two attempts. Has an effect with `attempts` only.
   *
   * @defaultValue `'200ms'`
   */
  retryDelay?: Duration;
  /**
   * The fate of a call while the store is known to be down. With `wait` the call waits for the store as long as for the
   * lock. With `reject` it rejects with a DriverUnavailableError at the first request that fails. Neither waits for a
   * store that was down for longer than `wait` before the call.
   *
   * @defaultValue `'wait'`
   */
  unavailable?: WhenUnavailable;
}

/** Options after the check, with every duration as a number. */
export type CheckedOptions = Pick<AcquireRequest, 'metadata' | 'signal' | 'reentrant' | 'unavailable'> &
  HoldLimits & {
    readonly ttl: Milliseconds | undefined;
    readonly limit: AcquireRequest['limit'] | undefined;
  };

const KNOWN = [
  'ttl',
  'metadata',
  'reentrant',
  'wait',
  'signal',
  'attempts',
  'retryDelay',
  'unavailable',
  'holdAtLeast',
  'maxHold',
] as const;
const RETRY_DELAY: Milliseconds = 200;
const ANY_TTL: TtlRange = { minTtl: 0 };

/**
 * @param defaultTtl the TTL where the options have none, where that is known
 * @throws LockConfigError that names every wrong option and its repair
 */
export function checkAcquireOptions(
  options: AcquireOptions,
  where: string,
  range: TtlRange = ANY_TTL,
  defaultTtl: Milliseconds = Infinity,
): CheckedOptions {
  const check = new OptionsCheck(where);
  const { ttl, metadata, reentrant, signal, unavailable, holdAtLeast, maxHold, ...rest } = check.object(
    options,
    '',
    KNOWN,
  );
  check.metadata(metadata, 'metadata');
  check.ofType(reentrant, 'reentrant', 'boolean');
  if (signal !== undefined && !(signal instanceof AbortSignal)) check.problem('signal: expected an AbortSignal.');
  if (unavailable !== undefined && unavailable !== 'wait' && unavailable !== 'reject') {
    check.problem("unavailable: expected 'wait' or 'reject'.");
  }
  const checkedTtl = ttl === undefined ? undefined : check.ttl(ttl, 'ttl', range.minTtl, range);
  const checked = {
    ttl: checkedTtl,
    ...checkHoldLimits(check, { holdAtLeast, maxHold }, checkedTtl ?? defaultTtl),
    metadata,
    reentrant,
    signal,
    unavailable,
    limit: checkLimit(check, rest),
  };
  check.done();
  return checked;
}

function checkHoldLimits(
  check: OptionsCheck,
  { holdAtLeast, maxHold }: Pick<AcquireOptions, 'holdAtLeast' | 'maxHold'>,
  ttl: Milliseconds,
): HoldLimits {
  const least = holdAtLeast === undefined ? undefined : check.duration(holdAtLeast, 'holdAtLeast', 0);
  const most = maxHold === undefined ? undefined : check.duration(maxHold, 'maxHold', Infinity);
  if (least !== undefined && least > ttl) {
    check.problem(
      `holdAtLeast: ${least} ms is longer than the ttl of ${ttl} ms, for which the store keeps the lock when this ` +
        `process dies. Set ttl to ${least} ms or more.`,
    );
  }
  if (least !== undefined && most !== undefined && most <= least) {
    check.problem(`maxHold: ${most} ms must be longer than the holdAtLeast of ${least} ms.`);
  }
  return { holdAtLeast: least, maxHold: most };
}

function checkLimit(
  check: OptionsCheck,
  { wait, attempts, retryDelay }: Pick<AcquireOptions, 'wait' | 'attempts' | 'retryDelay'>,
): CheckedOptions['limit'] {
  if (attempts === undefined) {
    if (retryDelay !== undefined) check.problem('retryDelay: has no effect without attempts.');
    return wait === undefined ? undefined : { wait: checkWait(check, wait, 'wait') };
  }
  if (wait !== undefined) check.problem('wait and attempts: give one of them, not both.');
  if (!Number.isSafeInteger(attempts) || attempts < 1) check.problem('attempts: expected a whole number above 0.');
  return { attempts, retryDelay: check.duration(retryDelay, 'retryDelay', RETRY_DELAY) };
}

export function checkWait(check: OptionsCheck, wait: Duration | 'forever', path: string): Milliseconds {
  if (wait === 'forever') return Infinity;
  if (wait === 0) check.problem(`${path}: 0 is no time to wait; use tryAcquire() or { attempts: 1 } for a single try.`);
  return wait === 0 ? 0 : check.duration(wait, path, 0);
}
