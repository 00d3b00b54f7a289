import type { DiscoveryService } from '@nestjs/core';
import { LockConfigError } from '../core/errors.js';
import { methodsOf } from '../decorators/framework-metadata.js';
import { type CronJobLike, type CronJobs, cronOptionsOf, MethodJobs } from '../schedule/cron-schedule.js';
import { discovered, discoveredProviders, schedulersIn } from './discovered.js';

/** The `@Cron()` methods of the application, and the jobs that @nestjs/schedule made of them. */
export class CronMethods {
  readonly #discovery: DiscoveryService;
  readonly #jobs = new MethodJobs();

  constructor(discovery: DiscoveryService) {
    this.#discovery = discovery;
  }

  /** @throws LockConfigError when the method has no job, not yet or not any more */
  jobOf(instance: object, property: string | symbol): CronJobLike {
    return this.#jobs.of(instance, property, `${instance.constructor.name}.${String(property)}`, this.#registry());
  }

  /** The job of the method that @nestjs/schedule knows by this key: its `lockKey`, its name, or class and method. */
  byKey(key: string): CronJobLike | undefined {
    for (const { type, instance, isStatic } of discovered(this.#discovery)) {
      if (!type || !instance || !isStatic) continue;
      for (const [property, method] of methodsOf(type.prototype)) {
        const options = cronOptionsOf(method);
        if (!options) continue;
        if ((options.lockKey ?? options.name ?? `${instance.constructor.name}.${property}`) === key)
          return this.jobOf(instance, property);
      }
    }
    return undefined;
  }

  #registry(): CronJobs {
    const [registry] = schedulersIn(discoveredProviders(this.#discovery));
    if (registry) return registry;
    throw new LockConfigError('@OncePerTick needs ScheduleModule.forRoot() of @nestjs/schedule.');
  }
}
