import type { Milliseconds } from '../core/duration.js';
import { newInstanceId } from '../core/ids.js';
import type { LockDriver } from '../core/lock-driver.js';
import { OptionsCheck } from '../core/options-check.js';
import { NAMESPACE } from '../core/store-key.js';
import { MemoryDriver } from '../drivers/memory/memory.driver.js';
import { acceptedUrls, type Origin, originPattern } from '../leader/accepted-urls.js';
import { resolveElections } from '../leader/election-options.js';
import type { ElectionSettings } from '../leader/election-settings.js';
import type { InstanceInfo } from '../leader/leadership.js';
import { VISIBLE } from '../leader/peer-records.js';
import { checkWait } from '../locks/acquire-options.js';
import { driverProblems } from '../locks/driver-problems.js';
import type { LockSettings } from '../locks/lock.service.js';
import type { WaitingLimits } from '../locks/wait-limit.js';
import type { DistLockModuleOptions } from './options.js';

/** All options of a registration, checked and with defaults. */
export interface ResolvedOptions {
  readonly driver: LockDriver;
  readonly failFast: boolean;
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
    'instance',
    'lock',
    'elections',
    'shutdown',
  ]);
  const { failFast = false, namespace = 'dist-lock' } = known;
  check.ofType(failFast, 'failFast', 'boolean');
  check.ofType(known.allowMemoryInProduction, 'allowMemoryInProduction', 'boolean');
  if (typeof namespace !== 'string' || !NAMESPACE.test(namespace)) {
    check.problem(`namespace: ${JSON.stringify(namespace)} may hold letters, digits, '_', '.' and '-' only.`);
  }
  const shutdown = check.object(known.shutdown, 'shutdown', ['grace']);
  const grace = check.duration(shutdown.grace, 'shutdown.grace', 10 * SECOND);
  const driver = resolveDriver(check, known);
  const ttlRange = driver.capabilities;
  const lock = check.object(known.lock, 'lock', ['ttl', 'wait', 'warnAfter', 'maxWaiting', 'maxWaitingPerKey']);
  const inAll = check.wholeNumber(lock.maxWaiting, 'lock.maxWaiting', 10_000);
  const resolved = {
    driver,
    failFast,
    instance: resolveInstance(check, known.instance),
    lock: {
      namespace,
      ttlRange,
      ttl: check.ttl(lock.ttl, 'lock.ttl', 30 * SECOND, ttlRange),
      wait: lock.wait === undefined ? 10 * SECOND : checkWait(check, lock.wait, 'lock.wait'),
    },
    warnAfter: lock.warnAfter === undefined ? undefined : check.duration(lock.warnAfter, 'lock.warnAfter', 0),
    waiting: {
      inAll,
      perKey: check.wholeNumber(lock.maxWaitingPerKey, 'lock.maxWaitingPerKey', Math.min(1000, inAll)),
    },
    elections: resolveElections(check, known.elections, { namespace, ttlRange, grace }),
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

function resolveInstance(check: OptionsCheck, options: DistLockModuleOptions['instance']): InstanceInfo {
  const known = ['id', 'url', 'allowedUrls', 'metadata'] as const;
  const { id = newInstanceId(), url, allowedUrls = [], metadata = {} } = check.object(options, 'instance', known);
  check.ofType(id, 'instance.id', 'string');
  check.ofType(url, 'instance.url', 'string');
  for (const [option, value] of Object.entries({ id, url })) {
    if (typeof value !== 'string' || VISIBLE.test(value)) continue;
    check.problem(`instance.${option}: must be visible ASCII characters, since it is sent in the X-Leader header.`);
  }
  if (typeof url === 'string' && hasCredentials(url)) {
    check.problem('instance.url: must hold no user name or password, since clients see it.');
  }
  check.metadata(metadata, 'instance.metadata');
  return { id, url, metadata, acceptsUrl: acceptedUrls(url, resolveAllowedUrls(check, allowedUrls)) };
}

function resolveAllowedUrls(check: OptionsCheck, allowedUrls: unknown): Origin[] {
  if (!Array.isArray(allowedUrls)) {
    check.problem("instance.allowedUrls: expected a list such as ['http://localhost:*'].");
    return [];
  }
  return allowedUrls.flatMap((text: unknown, index) => {
    const origin = typeof text === 'string' ? originPattern(text) : undefined;
    if (origin) return [origin];
    check.problem(
      `instance.allowedUrls[${index}]: expected scheme, host and port, such as 'http://10.0.0.1:3000', ` +
        "'https://*.example.com:8443' or 'http://localhost:*'.",
    );
    return [];
  });
}

function hasCredentials(url: string): boolean {
  const { username, password } = URL.canParse(url) ? new URL(url) : { username: '', password: '' };
  return username !== '' || password !== '';
}
