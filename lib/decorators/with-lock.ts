import type { Milliseconds } from '../core/duration.js';
import { LockConfigError } from '../core/errors.js';
import type { TtlRange } from '../core/lock-driver.js';
import { LockNotAcquiredError } from '../core/lock-errors.js';
import { whileClientIsThere } from '../http/client-gone.js';
import { type AcquireOptions, checkAcquireOptions, type CheckedOptions } from '../locks/acquire-options.js';
import type { Lock } from '../locks/lock.js';
import type { LockService } from '../locks/lock.service.js';
import { lockParameters } from './current-lock.js';
import { isRoute } from './framework-metadata.js';
import { getLockServiceToken } from './injection.js';
import { compileTemplate, type KeyBuilder, keyFrom, type KeyFunction } from './lock-key.js';
import { type AsyncMethod, decoratedMethod, type SkipFits, wrapMethod, type WrappedCall } from './wrap-method.js';

/**
 * The fate of a call while another holds the lock: `wait` for the lock, `skip` the call and resolve to undefined, or
 * `reject` at once with a LockNotAcquiredError.
 */
export type LockOtherwise = 'wait' | 'skip' | 'reject';

/** Options of `@WithLock()`. */
export interface WithLockOptions extends AcquireOptions {
  /**
   * The registration whose locks are used.
   *
   * @defaultValue the registration without a name
   */
  registration?: string;
  /**
   * The fate of a call while another holds the lock. With `skip` and `reject`, `wait` and `attempts` have no effect and
   * are refused.
   *
   * @defaultValue `'wait'`
   */
  otherwise?: LockOtherwise;
}

type KeyFits<Key, Method extends AsyncMethod> = Key extends KeyFunction
  ? Key extends (...args: Parameters<Method>) => string
    ? unknown
    : { 'the key function does not fit the parameters of the method': never }
  : unknown;

/** Accepts methods that return a promise and whose parameters fit the key function. */
export type LockedMethodDecorator<Key extends string | KeyFunction, Choice extends LockOtherwise = 'wait'> = <
  Method extends AsyncMethod,
>(
  target: object,
  property: string | symbol,
  descriptor: TypedPropertyDescriptor<Method> & KeyFits<Key, Method> & SkipFits<Choice, Method>,
) => void;

/**
 * Runs the method while it holds a lock. For one key at most one call runs at a time, over all instances.
 *
 * A route handler that takes its request (`@Req()`) does not run when the client hangs up during the wait for the lock.
 *
 * Not covered: a lock that is lost while the method runs. The method goes on; `@CurrentLock()` gives it the signal.
 *
 * @param key a template such as `'order:{0.id}'`, or a function of the method's arguments
 * @throws LockConfigError or LockKeyError at once, when an option or the template is wrong. A call rejects with the
 *   errors of `LockService.acquire`, or with the error of the method
 */
export function WithLock<Key extends string | KeyFunction, Choice extends LockOtherwise = 'wait'>(
  key: Key,
  options: WithLockOptions & { otherwise?: Choice } = {},
): LockedMethodDecorator<Key, Choice> {
  return (target, property, descriptor) => {
    const { label } = decoratedMethod('WithLock', [target, property, descriptor]);
    const keyOf = keyBuilder(key, label);
    const acquireOptions = checkWithLockOptions(options, `@WithLock on ${label}`);
    const skips = options.otherwise === 'skip';
    // The decorators of parameters run before those of their method.
    const indexes = lockParameters(target, property);
    /** Set at the first call: by then all decorators of the method have run. */
    let handlesRequests: boolean | undefined;

    wrapMethod<LockService>(
      'WithLock',
      getLockServiceToken(options.registration),
      options,
      [target, property, descriptor],
      (call) => {
        const run = (lock: Lock): unknown => call.proceed(withLockArguments(call, lock, indexes));
        const lockedKey = keyOf(call.args, call.instance);
        handlesRequests ??= isRoute((target as Record<string | symbol, object>)[property]!);
        if (handlesRequests && !skips) return lockedForClient(call, lockedKey, run, acquireOptions);
        if (!skips) return call.service.withLock(lockedKey, run, acquireOptions);
        return skipIfHeld(call.service, lockedKey, run, acquireOptions);
      },
      key,
    );
  };
}

function keyBuilder(key: unknown, label: string): KeyBuilder {
  if (typeof key === 'string') return compileTemplate(key);
  if (typeof key === 'function') return keyFrom(key as KeyFunction, label);
  throw new LockConfigError(
    `@WithLock on ${label}: the key is ${key === null ? 'null' : `of type ${typeof key}`}. Give a template such as ` +
      "'order:{0.id}', or a function of the arguments of the method.",
  );
}

/** Ends the wait for the lock when the client hangs up: nobody would receive the answer of the handler. */
function lockedForClient(
  { args, service }: WrappedCall<LockService>,
  key: string,
  run: (lock: Lock) => unknown,
  options: AcquireOptions,
): Promise<unknown> {
  return whileClientIsThere(args, (gone, done) => {
    const signals = [options.signal, gone].filter((signal) => signal !== undefined);
    const entered = (lock: Lock): unknown => {
      done();
      return run(lock);
    };
    return service.withLock(
      key,
      entered,
      signals.length > 0 ? { ...options, signal: AbortSignal.any(signals) } : options,
    );
  });
}

async function skipIfHeld(
  service: LockService,
  key: string,
  run: (lock: Lock) => unknown,
  options: AcquireOptions,
): Promise<unknown> {
  let entered = false;
  try {
    return await service.withLock(
      key,
      (lock) => {
        entered = true;
        return run(lock);
      },
      options,
    );
  } catch (error) {
    // The method may itself fail to get another lock. That error belongs to the method.
    if (entered || !(error instanceof LockNotAcquiredError)) throw error;
    return undefined;
  }
}

/**
 * The options without those of the decorator itself.
 *
 * @param limits of the registration: the TTLs that its driver accepts, and its default; known at start
 * @throws LockConfigError that names every wrong option and its repair
 */
export function checkWithLockOptions(
  options: WithLockOptions,
  where: string,
  ...limits: readonly [ttlRange?: TtlRange, defaultTtl?: Milliseconds]
): AcquireOptions {
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    throw new LockConfigError(`${where}: options: expected an object, such as { wait: '5s' }.`);
  }
  const { registration, otherwise = 'wait', ...acquireOptions } = options;
  if (registration !== undefined && typeof registration !== 'string') {
    throw new LockConfigError(`${where}: registration: expected a string.`);
  }
  if (!['wait', 'skip', 'reject'].includes(otherwise)) {
    throw new LockConfigError(`${where}: otherwise: expected 'wait', 'skip' or 'reject'.`);
  }
  const checked: CheckedOptions = checkAcquireOptions(acquireOptions, where, ...limits);
  if (otherwise === 'wait') return Object.freeze(acquireOptions);
  if (checked.limit) {
    throw new LockConfigError(`${where}: wait and attempts have no effect with otherwise: '${otherwise}'.`);
  }
  return Object.freeze({ ...acquireOptions, attempts: 1 });
}

function withLockArguments({ args }: WrappedCall<LockService>, lock: Lock, indexes: readonly number[]): unknown[] {
  if (indexes.length === 0) return args;
  const filled = [...args];
  for (const index of indexes) filled[index] = lock;
  return filled;
}
