import type { Duration } from '../core/duration.js';
import type { LockDriver } from '../core/lock-driver.js';
import type { ElectionOptions } from '../leader/election-options.js';

/** Options of `DistLockModule.forRoot()`. They are checked together when the application starts. */
export interface DistLockModuleOptions {
  /**
   * The store of the locks. Outside of tests that is a `RedisDriver`, a `RedlockDriver` or an `EtcdDriver`.
   *
   * @defaultValue `new MemoryDriver()`, which excludes within this process only
   */
  driver?: LockDriver;
  /**
   * Accepts a driver that excludes within one process only, such as the `MemoryDriver`, although NODE_ENV is
   * `production`.
   *
   * @defaultValue `false`
   */
  allowMemoryInProduction?: boolean;
  /**
   * Stops the start of the application with a DriverUnavailableError when the store cannot be reached. Without it the
   * application starts, and the driver tries again until the store answers.
   *
   * @defaultValue `false`
   */
  failFast?: boolean;
  /**
   * The name of the application: the prefix of every key and channel in the store, of letters, digits, `_`, `.` and `-`.
   * Required, except with a driver that excludes within one process only. All replicas of an application have the same
   * namespace. Two applications with the same one would wait for each other's locks and elect one leader.
   */
  namespace?: string;
  /**
   * For a process that is no replica of the application, such as a console command or a seed script. The process uses
   * locks and sees who leads. It takes part in no election, and runs no job of `@OncePerTick()`. The environment variable
   * `DIST_LOCK_OBSERVE_ONLY=1` has the same effect.
   *
   * @defaultValue `false`
   */
  observeOnly?: boolean;
  /** The identity of this instance towards other instances and in logs. */
  instance?: {
    /**
     * The unique name of this process: visible ASCII characters.
     *
     * @defaultValue host name, process id and a random part
     */
    id?: string;
    /**
     * The URL at which other instances and clients reach this instance, without user name and password. Members see it.
     * `X-Leader`, `redirect` and `forward` use the URL of the leader.
     */
    url?: string;
    /**
     * The URLs to which requests may be sent when a leader has registered them: `'http://localhost:*'`,
     * `'https://*.example.com:8443'`. URLs with the scheme and port of `url` are allowed in any case. Without this
     * limit whoever can write to the store could collect the cookies of your users.
     *
     * @defaultValue `[]`
     */
    allowedUrls?: readonly string[];
    /**
     * Strings that other instances see in `Member.metadata`; at most 4096 bytes as JSON.
     *
     * @defaultValue `{}`
     */
    metadata?: Record<string, string>;
  };
  /** Defaults and limits for locks. */
  lock?: {
    /**
     * The time for which the store keeps a lock without a renewal. Others wait for that time if this process dies.
     *
     * @defaultValue `'15s'`
     */
    ttl?: Duration;
    /**
     * The time that a caller waits for a lock, or `'forever'`. Then the call rejects with a LockNotAcquiredError.
     *
     * @defaultValue 5 s longer than the TTL of the call: so it outlasts the lease of a holder that died
     */
    wait?: Duration | 'forever';
    /**
     * A lock that is held for longer is reported in the log, once. Setting it applies to all locks, those of `withLock`
     * and `@WithLock` included.
     *
     * @defaultValue ten TTLs for locks of `acquire` and `tryAcquire`, which somebody may have forgotten to release;
     *   never for the others
     */
    warnAfter?: Duration;
    /**
     * The number of callers of this instance that may wait for locks at once. One more is rejected with a
     * TooManyWaitingError (503).
     *
     * @defaultValue `10000`
     */
    maxWaiting?: number;
    /**
     * As `maxWaiting`, for one key.
     *
     * @defaultValue `1000`, or `maxWaiting` where that is less
     */
    maxWaitingPerKey?: number;
  };
  /**
   * The elections in which this instance takes part. Elections other than `default` are injected with
   * `@InjectLeader('name')`. `[]` is no election at all.
   *
   * @defaultValue one election, named `default`
   */
  elections?: ElectionOptions[];
  /** The limits of a shutdown. */
  shutdown?: {
    /**
     * The grace period: the time for which a shutdown waits for code that leads or holds a lock. The signal of a term
     * aborts when the shutdown begins. The signal of a lock aborts when the grace period is over.
     *
     * @defaultValue `'10s'`
     */
    grace?: Duration;
  };
}

/** Options of `forRoot()` and `forRootAsync()` that Nest needs before it knows the rest. */
export interface DistLockModuleExtras {
  /**
   * Makes the services available in every module, without an import.
   *
   * @defaultValue `true`
   */
  isGlobal?: boolean;
  /**
   * The name of this registration. Each registration has a driver and options of its own.
   *
   * @defaultValue the registration without a name
   */
  name?: string;
}

/** A class for `useClass` or `useExisting` of `forRootAsync()`. */
export interface DistLockOptionsFactory {
  /** Called once, when the application starts. */
  createDistLockOptions(): DistLockModuleOptions | Promise<DistLockModuleOptions>;
}

/** The option that `forRootAsync()` takes beside the factory. */
export interface DistLockModuleAsyncExtras {
  /**
   * The names of the elections that the factory configures, `default` included if there is one. Nest has to know them
   * before the factory runs, because each is injected by its name.
   *
   * @defaultValue `['default']`
   */
  elections?: string[];
}
