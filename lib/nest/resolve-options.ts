import type { Milliseconds } from '../core/duration.js';
import type { LockDriver } from '../core/lock-driver.js';
import { OptionsCheck } from '../core/options-check.js';
import { NAMESPACE } from '../core/store-key.js';
import { MemoryDriver } from '../drivers/memory/memory.driver.js';
import { resolveElections } from '../leader/election-options.js';
import type { ElectionSettings } from '../leader/election-settings.js';
import type { InstanceInfo } from '../leader/leadership.js';
import { checkWait } from '../locks/acquire-options.js';
import { driverProblems } from '../locks/driver-problems.js';
import type { LockSettings } from '../locks/lock.service.js';
import type { WaitingLimits } from '../locks/wait-limit.js';
import { resolveInstance, resolveObserveOnly } from './instance-options.js';
import type { DistLockModuleOptions } from './options.js';

/** All options of a registration, checked and with defaults. */
export interface ResolvedOptions {
  readonly driver: LockDriver;
  readonly failFast: boolean;
  readonly observeOnly: boolean;
  readonly instance: InstanceInfo;
  readonly lock: LockSettings;
  /** Undefined: 10 TTLs, for locks of `acquire` and `tryAcquire` only. */
  readonly warnAfter: Milliseconds | undefined;
  readonly waiting: WaitingLimits;
  readonly elections: readonly ElectionSettings[];
  readonly grace: Milliseconds;
}

const SECOND: Milliseconds = 1000;

/**
 * Checks the options of one registration and fills in the defaults. All mistakes are reported together.
 *
 * @throws LockConfigError that names every wrong option and its fix
 */
export function resolveOptions(options: DistLockModuleOptions): ResolvedOptions {
  const check = new OptionsCheck('DistLockModule.forRoot()');
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    // forRoot() has checked its argument, so these options come from a factory.
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
