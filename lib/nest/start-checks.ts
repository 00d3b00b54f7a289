import type { Logger } from '@nestjs/common';
import type { DiscoveryService } from '@nestjs/core';
import { LockConfigError } from '../core/errors.js';
import { isBackgroundHandler, isGuardedHandler, isScheduled, methodsOf } from '../decorators/framework-metadata.js';
import { isLeaderOnly } from '../decorators/leader-only.js';
import type { WithLockOptions } from '../decorators/with-lock.js';
import { wrappingsOf } from '../decorators/wrap-method.js';
import { LEADER_ONLY } from './leader.guard.js';

/**
 * Finds decorators that cannot do what they say.
 *
 * @throws LockConfigError for `@LeaderOnly()` on a class in which it has no effect
 */
export function checkDecoratedClasses(discovery: DiscoveryService, logger: Logger): void {
  const wrappers = [...discovery.getProviders(), ...discovery.getControllers()];
  for (const type of new Set(wrappers.map(({ metatype }) => metatype))) {
    // The metatype of a factory provider is the factory, often an arrow function.
    if (typeof type !== 'function' || typeof type.prototype !== 'object') continue;
    const methods = [...methodsOf(type.prototype as object).entries()];
    if (Reflect.hasOwnMetadata(LEADER_ONLY, type) && !methods.some(([, method]) => isGated(method))) {
      throw new LockConfigError(
        `@LeaderOnly() on class ${type.name} has no effect: it has no route, message, cron, interval, timeout or event ` +
          'handler. Decorate the methods that only the leader may run.',
      );
    }
    for (const [name, method] of methods) warnOfWaitingJob(`${type.name}.${name}`, method, logger);
  }
}

/** Without shutdown hooks nothing is handed over: a stopped replica's leases end with their TTL. */
export function checkShutdownHooks(logger: Logger): void {
  if (process.listenerCount('SIGTERM') > 0) return;
  logger.warn(
    'Shutdown hooks are not enabled: when this process is stopped, its locks and its leadership are not handed over ' +
      'but end with their TTL. Call app.enableShutdownHooks() in main.ts.',
  );
}

function isGated(method: object): boolean {
  return isBackgroundHandler(method) || isGuardedHandler(method);
}

function warnOfWaitingJob(label: string, method: object, logger: Logger): void {
  if (!isScheduled(method) || isLeaderOnly(method)) return;
  const withLock = wrappingsOf(method).find(({ decorator }) => decorator === 'WithLock');
  if (!withLock || ((withLock.options as WithLockOptions).onContention ?? 'wait') !== 'wait') return;
  logger.warn(
    `@WithLock on the scheduled method ${label} waits for the lock, so every replica runs the job, one after the other. ` +
      "Use onContention: 'skip' to run it on one of them, or @LeaderOnly().",
  );
}
