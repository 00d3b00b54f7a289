import { LockConfigError } from '../core/errors.js';
import {
  isBackgroundHandler,
  isCron,
  isGuardedHandler,
  isProcessor,
  isRoute,
  methodsOf,
} from '../decorators/framework-metadata.js';
import { DEFAULT_REGISTRATION, getFireServiceToken } from '../decorators/injection.js';
import { isLeaderOnly } from '../decorators/leader-only.js';
import { forRequests, type LeaderOnlyOptions } from '../decorators/leader-only-options.js';
import type { OncePerTickSettings } from '../decorators/once-per-tick.js';
import { checkWithLockOptions, type WithLockOptions } from '../decorators/with-lock.js';
import { wrappingsOf } from '../decorators/wrap-method.js';
import { LEADER_ONLY, type LeaderOnlyMetadata } from '../http/leader.guard.js';
import type { Discovered } from './discovered.js';
import { checkDoubledJobs, checkJobName, checkLockedJob } from './job-checks.js';
import type { Registration } from './registration.js';

/**
 * Checks the decorated classes at the start of the application.
 *
 * @throws LockConfigError for
 *   - `@LeaderOnly()` on a class in which it has no effect;
 *   - a scheduled or event method of a subclass that `@LeaderOnly()` on its base class does not reach;
 *   - `redirect` and `forward` where there is no route;
 *   - `@OncePerTick()` on a method without `@Cron()`, above `@LeaderOnly()`, with the job name of another method, or on
 *     a driver without a fact store;
 *   - options of `@WithLock()` that the driver or the defaults of the registration do not allow.
 */
export function checkDecoratedClasses(found: readonly Discovered[], registration: Registration): void {
  const jobs = new Map<string, string>();
  checkDoubledJobs(found, registration);
  for (const type of new Set(found.map((one) => one.type))) {
    if (!type) continue;
    const methods = methodsOf(type.prototype);
    if (Reflect.hasMetadata(LEADER_ONLY, type)) checkLeaderOnlyClass(type, methods);
    for (const [name, method] of methods) {
      checkLeaderOnlyMethod(`${type.name}.${name}`, method);
      checkOncePerTick(`${type.name}.${name}`, type.name, method, registration, jobs);
      checkLockedMethod(`${type.name}.${name}`, method, registration);
    }
  }
}

function checkLeaderOnlyClass(type: object & { name: string }, methods: ReadonlyMap<string, object>): void {
  const all = [...methods];
  const isJob = ([name, method]: [string, object]): boolean => isBackgroundHandler(method) || isProcessor(type, name);
  const isGated = (entry: [string, object]): boolean => isJob(entry) || isGuardedHandler(entry[1]);
  if (Reflect.hasOwnMetadata(LEADER_ONLY, type)) {
    if (!all.some(isGated)) {
      throw new LockConfigError(
        `@LeaderOnly() on class ${type.name} has no effect: it has no route, message, cron, interval, timeout or event ` +
          'handler. Decorate the methods that only the leader may run.',
      );
    }
    const { otherwise } = Reflect.getOwnMetadata(LEADER_ONLY, type) as LeaderOnlyMetadata;
    if (forRequests(otherwise) && !all.some(([, method]) => isRoute(method))) throw notARoute(type.name, otherwise);
  }
  // The decorator of a class wraps jobs when the class is defined: it misses those of a subclass. Guards are inherited.
  const missed = all.find((entry) => isJob(entry) && !isLeaderOnly(entry[1]));
  if (!missed) return;
  throw new LockConfigError(
    `${type.name}.${missed[0]} would run on every instance: class ${type.name} extends one under @LeaderOnly(), which ` +
      `does not reach the scheduled and event methods that a subclass adds. Decorate class ${type.name}, too.`,
  );
}

function checkLeaderOnlyMethod(label: string, method: object): void {
  for (const { decorator, options } of wrappingsOf(method)) {
    const { otherwise }: LeaderOnlyOptions = decorator === 'LeaderOnly' ? options : {};
    if (forRequests(otherwise) && !isRoute(method)) throw notARoute(label, otherwise);
  }
}

function notARoute(label: string, otherwise: LeaderOnlyOptions['otherwise']): LockConfigError {
  return new LockConfigError(
    `@LeaderOnly({ otherwise: '${otherwise}' }) on ${label}: only HTTP requests can be sent to the leader, and this ` +
      "handles none. Use 'skip' or 'reject'.",
  );
}

/** @param jobs the methods of the jobs so far, by the name of the job */
function checkOncePerTick(
  label: string,
  type: string,
  method: object,
  { name, fires, logger }: Registration,
  jobs: Map<string, string>,
): void {
  const wrappings = wrappingsOf(method);
  const index = wrappings.findIndex(({ decorator }) => decorator === 'OncePerTick');
  const settings = wrappings[index]?.options as OncePerTickSettings | undefined;
  if (settings?.token !== getFireServiceToken(name)) return;
  const refuse = (why: string): LockConfigError => new LockConfigError(`@OncePerTick() on ${label}: ${why}`);
  if (!fires)
    throw refuse('the driver has no fact store to keep claims in. Use a driver that has one, such as RedisDriver.');
  if (!isCron(method))
    throw refuse(
      'only the fires of a @Cron() method have times that all instances share. Add @Cron(), or remove @OncePerTick().',
    );
  if (wrappings.slice(index + 1).some(({ decorator }) => decorator === 'LeaderOnly')) {
    throw refuse('a follower would claim the fire and then skip it. Write @LeaderOnly() above @OncePerTick().');
  }
  const job = settings.job ?? label;
  const other = jobs.get(job);
  if (other !== undefined) throw refuse(`${other} has the same job name "${job}". Give one of them another \`job\`.`);
  jobs.set(job, label);
  checkJobName(label, type, settings, logger);
}

function checkLockedMethod(label: string, method: object, { name, logger, ttlRange, lockTtl }: Registration): void {
  for (const { decorator, options } of wrappingsOf(method)) {
    const withLock: WithLockOptions | undefined = decorator === 'WithLock' ? options : undefined;
    if (!withLock || (withLock.registration ?? DEFAULT_REGISTRATION) !== name) continue;
    checkWithLockOptions(withLock, `@WithLock on ${label}`, ttlRange, lockTtl);
    checkLockedJob(label, method, withLock, logger);
  }
}
