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
  readonly key: string;
  readonly holder: string;
  /** Id of the instance that holds it. */
  readonly instance: string;
  readonly fencingToken: number;
  /** When the instance got it, in milliseconds since 1970, by the store's clock; on etcd by the instance's. */
  readonly since: number;
  /** Time until the lease runs out unless it is renewed, by the store's clock. */
  readonly remaining: Milliseconds;
  /** Instances that wait for the lock, as far as the driver knows. */
  readonly waiters: number;
  readonly metadata: Readonly<Record<string, string>>;
}

export interface LockSettings {
  readonly namespace: string;
  readonly ttl: Milliseconds;
  /** Infinity: for ever. */
  readonly wait: Milliseconds;
  /** The TTLs that the driver accepts. */
  readonly ttlRange: TtlRange;
}

const DEFAULTS: AcquireOptions = Object.freeze({});
const ONCE: AcquireOptions = Object.freeze({ attempts: 1 });

/** Locks by key, exclusive over all instances that share the store and the namespace. */
export class LockService {
  /** The events of this instance's locks; completes when the application has shut down. */
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
   * Waits for the lock and returns it; the caller must release it: `await using lock = await locks.acquire('k')`.
   *
   * @throws LockNotAcquiredError when others held it for all of `wait`, or at each of `attempts`
   * @throws DriverUnavailableError when the store could not be asked for that long
   * @throws NestedLockError when this call chain is inside of it already, by `withLock` or `@WithLock`
   * @throws TooManyWaitingError when `lock.maxWaiting` callers wait already
   * @throws LockKeyError, LockConfigError, LockServiceClosedError, or the reason of `signal`
   */
  acquire(key: string, options: AcquireOptions = DEFAULTS): Promise<Lock> {
    const callSite = this.#manager.callSites.note(LockService.prototype.acquire);
    return promiseTry(() => this.#manager.acquire(this.#request(key, options, callSite)));
  }

  /**
   * One try: the lock, or null when another holds it.
   *
   * @throws DriverUnavailableError when the store could not be asked, and as `acquire`
   */
  tryAcquire(key: string, options?: TryOptions): Promise<Lock | null> {
    const callSite = this.#manager.callSites.note(LockService.prototype.tryAcquire);
    return promiseTry(() => this.#manager.tryAcquire(this.#request(key, once(options), callSite)));
  }

  /**
   * Runs `task` with the lock held, and releases it when the task has ended, however it ends. Inside of it
   * `currentLock()` finds the lock. Losing the lock does not stop the task: pass `lock.signal` on, or call
   * `lock.ensure()` before a step that must not happen without it.
   *
   * @throws what `acquire` and `task` throw
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

  /** The holder of the lock at this moment, or null. For people and dashboards: the answer may be old when it arrives. */
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
      limit = { wait },
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
