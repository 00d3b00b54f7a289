import type { Duration } from '../core/duration.js';
import type { LockDriver } from '../core/lock-driver.js';
import { OptionsCheck } from '../core/options-check.js';
import { NAMESPACE } from '../core/store-key.js';
import { MemoryDriver } from '../drivers/memory/memory.driver.js';
import { type ElectionOptions, resolveElections } from '../leader/election-options.js';
import type { ElectionSettings } from '../leader/election-settings.js';
import type { InstanceInfo } from '../leader/leadership.js';
import { checkWait } from '../locks/acquire-options.js';
import { driverProblems } from '../locks/driver-problems.js';
import type { LockSettings } from '../locks/lock.service.js';
import type { WaitingLimits } from '../locks/wait-limit.js';
import { resolveInstance, resolveObserveOnly } from './instance-options.js';

export interface DistLockModuleOptions {
  /** Where locks are kept. Default: the memory of this process, which is refused in production. */
  driver?: LockDriver;
  /** Accepts a driver that excludes within one process only although NODE_ENV is `production`. Default: false. */
  allowMemoryInProduction?: boolean;
  /** Fails the start of the application when the store cannot be reached. Default: false, it starts and keeps trying. */
  failFast?: boolean;
  /**
   * The name of the application: the prefix of every key and channel, of letters, digits, `_`, `.` and `-`. Required
   * with a store that several applications can share. All replicas of an application have the same one; two applications
   * with the same one would wait for each other's locks and elect one leader.
   */
  namespace?: string;
  /**
   * For a process that is no replica of the application, such as a console command or a seed script: it uses locks, and
   * sees who leads, but it takes part in no election and runs no job of `@OncePerTick()`. The environment variable
   * `DIST_LOCK_OBSERVE_ONLY=1` does the same. Default: false.
   */
  observeOnly?: boolean;
  instance?: {
    /** Default: host name, process id and a random part. */
    id?: string;
    /** Where other instances and clients reach this one, told to them while it leads. No user name, no password. */
    url?: string;
    /**
     * Where requests may be sent beside URLs of the same scheme and port as `url`, when the leader has registered such a
     * URL: `'http://localhost:*'`, `'https://*.example.com:8443'`. Default: nowhere else, since whoever can write to
     * the store could collect the cookies of your users.
     */
    allowedUrls?: readonly string[];
    metadata?: Record<string, string>;
  };
  /** Defaults for locks. */
  lock?: {
    /** Default: 15 s. */
    ttl?: Duration;
    /** Default: 5 s longer than the TTL of the call, so that it outlasts the lease of a holder that died. */
    wait?: Duration | 'forever';
    /**
     * A lock that is held for longer is reported in the log, once. Default: 10 times its TTL for locks of `acquire` and
     * `tryAcquire`, which somebody may have forgotten to release; never for those of `withLock` and `@WithLock`.
     */
    warnAfter?: Duration;
    /**
     * How many callers of this instance may wait for locks at once; a further one is rejected with a
     * TooManyWaitingError (503). Default: 10,000.
     */
    maxWaiting?: number;
    /** As `maxWaiting`, for one key. Default: 1,000, or `maxWaiting` where that is less. */
    maxWaitingPerKey?: number;
  };
  /** Default: one election, named `default`. Others are injected with `@InjectLeader('name')`; `[]` is none at all. */
  elections?: ElectionOptions[];
  shutdown?: {
    /** For how long a shutdown waits for code that holds a lock or leads. Default: 10 s. */
    grace?: Duration;
  };
}

/** All options of a registration, checked and with defaults. Durations are milliseconds. */
export interface ResolvedOptions {
  readonly driver: LockDriver;
  readonly failFast: boolean;
  readonly observeOnly: boolean;
  readonly instance: InstanceInfo;
  readonly lock: LockSettings;
  /** Milliseconds. */
  readonly warnAfter: number | undefined;
  readonly waiting: WaitingLimits;
  readonly elections: readonly ElectionSettings[];
  readonly grace: number;
}

const SECOND = 1000;

/** @throws LockConfigError that names every wrong option and its repair */
export function resolveOptions(options: DistLockModuleOptions): ResolvedOptions {
  const check = new OptionsCheck('DistLockModule.forRoot()');
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    // forRoot() gives an object, so these come from a factory.
    check.problem(
      `the factory of forRootAsync() returned ${options === null ? 'null' : Array.isArray(options) ? 'an array' : typeof options}. ` +
        'Return the options object; `{}` stands for the defaults.',
    );
    check.done();
  }
  const known = check.object(options, '', [
    'driver',
    'allowMemoryInProduction',
    'failFast',
    'namespace',
    'observeOnly',
    'instance',
    'lock',
    'elections',
    'shutdown',
  ]);
  const { failFast = false } = known;
  check.ofType(failFast, 'failFast', 'boolean');
  check.ofType(known.allowMemoryInProduction, 'allowMemoryInProduction', 'boolean');
  const observeOnly = resolveObserveOnly(check, known.observeOnly);
  const shutdown = check.object(known.shutdown, 'shutdown', ['grace']);
  const grace = check.duration(shutdown.grace, 'shutdown.grace', 10 * SECOND);
  const driver = resolveDriver(check, known);
  const namespace = resolveNamespace(check, known.namespace, driver);
  const ttlRange = driver.capabilities;
  const lock = check.object(known.lock, 'lock', ['ttl', 'wait', 'warnAfter', 'maxWaiting', 'maxWaitingPerKey']);
  const inAll = check.wholeNumber(lock.maxWaiting, 'lock.maxWaiting', 10_000);
  const resolved = {
    driver,
    failFast,
    observeOnly,
    instance: resolveInstance(check, known.instance),
    lock: {
      namespace,
      ttlRange,
      ttl: check.ttl(lock.ttl, 'lock.ttl', 15 * SECOND, ttlRange),
      wait: lock.wait === undefined ? undefined : checkWait(check, lock.wait, 'lock.wait'),
    },
    warnAfter: lock.warnAfter === undefined ? undefined : check.duration(lock.warnAfter, 'lock.warnAfter', 0),
    waiting: {
      inAll,
      perKey: check.wholeNumber(lock.maxWaitingPerKey, 'lock.maxWaitingPerKey', Math.min(1000, inAll)),
    },
    elections: resolveElections(check, known.elections, { namespace, ttlRange, grace, observeOnly }),
    grace,
  };
  check.done();
  return resolved;
}

function resolveDriver(
  check: OptionsCheck,
  { driver = new MemoryDriver(), allowMemoryInProduction }: DistLockModuleOptions,
): LockDriver {
  const problems = driverProblems(driver);
  if (problems.length > 0) {
    for (const problem of problems) check.problem(`driver: ${problem}`);
    return new MemoryDriver();
  }
  const isMemory = driver.capabilities.scope === 'process';
  if (isMemory && process.env['NODE_ENV'] === 'production' && allowMemoryInProduction !== true) {
    check.problem(
      'driver: the memory driver excludes only within one process, which is rarely meant when NODE_ENV is production. ' +
        'Pass a driver such as new RedisDriver({ url }), or allowMemoryInProduction: true.',
    );
  }
  return driver;
}

function resolveNamespace(check: OptionsCheck, namespace: unknown, { capabilities }: LockDriver): string {
  if (namespace === undefined && capabilities.scope !== 'process') {
    check.problem(
      "namespace: give the application a name, such as namespace: 'billing'. Its replicas share it; another application " +
        'on the same store with the same name would share its locks and its leader.',
    );
  } else if (namespace !== undefined && (typeof namespace !== 'string' || !NAMESPACE.test(namespace))) {
    check.problem(`namespace: ${JSON.stringify(namespace)} may hold letters, digits, '_', '.' and '-' only.`);
  }
  return typeof namespace === 'string' ? namespace : 'dist-lock';
}
