import type { Observable } from 'rxjs';
import type { Milliseconds } from '../core/duration.js';
import { LockConfigError } from '../core/errors.js';
import type { LockEvent } from '../core/events.js';
import type { TtlRange } from '../core/lock-driver.js';
import { promiseTry } from '../core/promise-try.js';
import { lockStoreKey } from '../core/store-key.js';
import { type AcquireOptions, checkAcquireOptions, type CheckedOptions, type TryOptions } from './acquire-options.js';
import type { CallSite } from './call-site.js';
import type { LockManager } from './lock-manager.js';
import type { AcquireRequest } from './lock-request.js';
import type { Lock } from './lock.js';

/** A held lock, as the store knows it. */
export interface LockDescription {
  /** The key as the caller named it. */
  readonly key: string;
  /** The id of the lease in the store. */
  readonly holder: string;
  /** The id of the instance that holds the lock. */
  readonly instance: string;
  /** The number of the latest grant that the store knows. */
  readonly fencingToken: number;
  /**
   * The start of the lease, in milliseconds since 1970, by the clock of the store; on etcd and Redlock by that of the
   * holder.
   */
  readonly since: number;
  /** The rest of the lease, unless it is renewed, by the clock of the store. */
  readonly remaining: Milliseconds;
  /** The number of instances that wait for the lock, as far as the driver knows. */
  readonly waiters: number;
  /** The strings that the holder gave. */
  readonly metadata: Readonly<Record<string, string>>;
}

export interface LockSettings {
  readonly namespace: string;
  readonly ttl: Milliseconds;
  /** Infinity: for ever. Undefined: longer than the TTL of the call. */
  readonly wait: Milliseconds | undefined;
  /** The TTLs that the driver accepts. */
  readonly ttlRange: TtlRange;
}

/**
 * Milliseconds by which a call waits longer than its TTL, where nobody says how long: the TTL of a holder that died, and
 * time for those that stand in front in the queue.
 */
const WAIT_BEYOND_TTL = 5000;
const DEFAULTS: AcquireOptions = Object.freeze({});
const ONCE: AcquireOptions = Object.freeze({ attempts: 1 });

/** Locks by key. A lock is exclusive over all instances that share the store and the namespace. */
export class LockService {
  /** The events of the locks of this instance. Completes when the application has shut down. */
  readonly events$: Observable<LockEvent>;
  readonly #manager: LockManager;
  readonly #settings: LockSettings;
  /** Options that cannot change any more are checked once. */
  readonly #checked = new WeakMap<AcquireOptions, CheckedOptions>();

  /** @internal */
  constructor(manager: LockManager, settings: LockSettings, events$: Observable<LockEvent>) {
    this.#manager = manager;
    this.#settings = settings;
    this.events$ = events$;
  }

  /**
   * Waits for the lock and returns it. The caller must release it: `await using lock = await locks.acquire('k')`.
   *
   * @param key 1 to 500 characters
   * @throws LockNotAcquiredError when others held the lock for the whole `wait`, or at each of `attempts`
   * @throws DriverUnavailableError when the store could not be asked for that long
   * @throws NestedLockError when this call chain holds the lock already, by `withLock` or `@WithLock`
   * @throws TooManyWaitingError when `lock.maxWaiting` callers wait already, or `lock.maxWaitingPerKey` for this key
   * @throws LockKeyError when the key is empty, too long or not well-formed Unicode
   * @throws LockConfigError when an option is wrong, or when the store refuses requests for good
   * @throws LockServiceClosedError when the application shuts down
   * @throws the reason of `signal`, when it aborts
   */
  acquire(key: string, options: AcquireOptions = DEFAULTS): Promise<Lock> {
    const callSite = this.#manager.callSites.note(LockService.prototype.acquire);
    return promiseTry(() => this.#manager.acquire(this.#request(key, options, callSite)));
  }

  /**
   * Tries once to get the lock. Resolves to null when another holds it. The caller must release the lock.
   *
   * @throws DriverUnavailableError when the store could not be asked
   * @throws NestedLockError, LockKeyError, LockConfigError, LockServiceClosedError as `acquire`
   */
  tryAcquire(key: string, options?: TryOptions): Promise<Lock | null> {
    const callSite = this.#manager.callSites.note(LockService.prototype.tryAcquire);
    return promiseTry(() => this.#manager.tryAcquire(this.#request(key, once(options), callSite)));
  }

  /**
   * Runs `task` while it holds the lock. Releases the lock when the task has settled. Inside of the task
   * `currentLock()` finds the lock.
   *
   * A lost lock does not stop the task: pass `lock.signal` on, or call `lock.ensure()` before a step that must not
   * happen without the lock.
   *
   * @returns the result of `task`
   * @throws the errors of `acquire`, and the error of `task`
   */
  withLock<T>(key: string, task: (lock: Lock) => T | Promise<T>, options: AcquireOptions = DEFAULTS): Promise<T> {
    return promiseTry(() => {
      const request = this.#request(key, options);
      if (typeof task !== 'function') {
        throw new LockConfigError(`Lock "${key}": withLock() takes the key, then the function to run, then options.`);
      }
      return this.#manager.withLock(request, task);
    });
  }

  /**
   * The holder of the lock at this moment, or null. Meant for people and dashboards: the answer may be old when it
   * arrives, so decide nothing by it.
   *
   * @throws DriverUnavailableError when the store could not be asked; LockKeyError as `acquire`
   */
  async describe(key: string): Promise<LockDescription | null> {
    const record = await this.#manager.inspect(lockStoreKey(this.#settings.namespace, key));
    return record && { key, ...record };
  }

  #request(key: string, options: AcquireOptions, callSite?: CallSite): AcquireRequest {
    const { namespace, ttl: defaultTtl, wait } = this.#settings;
    const storeKey = lockStoreKey(namespace, key);
    const checked = this.#checked.get(options) ?? this.#check(key, options);
    const {
      ttl = defaultTtl,
      limit = { wait: wait ?? ttl + WAIT_BEYOND_TTL },
      metadata,
      signal,
      reentrant,
      unavailable,
      holdAtLeast,
      maxHold,
    } = checked;
    // Property by property: on Node 20 each one that follows a spread costs half a microsecond.
    return { key, storeKey, ttl, limit, metadata, signal, reentrant, unavailable, holdAtLeast, maxHold, callSite };
  }

  #check(key: string, options: AcquireOptions): CheckedOptions {
    const { ttl, ttlRange } = this.#settings;
    const checked = checkAcquireOptions(options, `Lock "${key}"`, ttlRange, ttl);
    if (Object.isFrozen(options)) this.#checked.set(options, checked);
    return checked;
  }
}

/** A value that is no object is left to the check of the options. */
function once(options: TryOptions | undefined): AcquireOptions {
  if (options === undefined) return ONCE;
  return typeof options === 'object' && options !== null ? { ...options, ...ONCE } : options;
}
