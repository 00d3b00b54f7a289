import type { OnApplicationBootstrap, OnModuleDestroy } from '@nestjs/common';
import type { DiscoveryService, ModuleRef } from '@nestjs/core';
import { filter } from 'rxjs';
import type { Milliseconds } from '../core/duration.js';
import { LockConfigError } from '../core/errors.js';
import { pause } from '../core/pause.js';
import { methodsOf } from '../decorators/framework-metadata.js';
import type { OncePerTickSettings, TickGate } from '../decorators/once-per-tick.js';
import { type Wrapping, wrappingsOf } from '../decorators/wrap-method.js';
import type { LeaderOnlyMetadata } from '../http/leader.guard.js';
import type { LeaderService } from '../leader/leader.service.js';
import { type CronJobs, cronSchedule } from '../schedule/cron-schedule.js';
import type { Fires, Job } from '../schedule/fires.js';
import { discovered, discoveredProviders } from './discovered.js';
import type { Registration } from './registration.js';

/** Time between two looks whether a job is scheduled. */
const LOOK_EVERY: Milliseconds = 250;

type Method = (...args: unknown[]) => unknown;

/** A method under `@OncePerTick()` of a provider. */
interface Decorated {
  readonly instance: object;
  readonly property: string;
  readonly settings: OncePerTickSettings;
  /** The token of its `LeaderService`, where `@LeaderOnly()` gates the method, too. */
  readonly leader: string | undefined;
}

/**
 * Runs the ticks of methods under `@OncePerTick()`, and catches up with fires that nobody ran.
 *
 * 1. At start each decorated method is found, and its job is awaited: @nestjs/schedule registers jobs in a hook of its
 *    own.
 * 2. The last fire of the job is checked. A fire whose instance died is reported.
 * 3. With `catchUp` a missed fire runs now or, under `@LeaderOnly()`, at the start of each term.
 * 4. Once the shutdown begins no fire is claimed: this instance could not finish it, and another one can run it.
 */
export class FireService implements TickGate, OnApplicationBootstrap, OnModuleDestroy {
  readonly #registration: Registration;
  readonly #discovery: DiscoveryService;
  readonly #moduleRef: ModuleRef;
  readonly #token: string;
  readonly #ended = new AbortController();

  constructor(registration: Registration, discovery: DiscoveryService, moduleRef: ModuleRef, token: string) {
    this.#registration = registration;
    this.#discovery = discovery;
    this.#moduleRef = moduleRef;
    this.#token = token;
  }

  async tick(
    instance: object,
    property: string | symbol,
    settings: OncePerTickSettings,
    work: () => unknown,
  ): Promise<unknown> {
    if (this.#ended.signal.aborted || this.#registration.observesOnly) return undefined;
    return this.#fires().tick(this.#jobOf(instance, property, settings), work);
  }

  onApplicationBootstrap(): void {
    if (this.#registration.observesOnly) return;
    for (const decorated of this.#decorated()) {
      const report = (error: unknown): void => this.#registration.logger.error(error);
      void this.#begin(decorated).catch(report);
    }
  }

  onModuleDestroy(): void {
    this.#ended.abort();
  }

  async #begin(decorated: Decorated): Promise<void> {
    const { settings, leader } = decorated;
    const job = await this.#whenScheduled(decorated);
    if (!job) return;
    // The check fails when the application ends. Then nobody is left to report to.
    void this.#fires()
      .checkLast(job)
      .catch(() => undefined);
    if (!settings.catchUp) return;
    if (leader === undefined) return this.#catchUp(decorated, job);
    const { isLeader$ } = this.#moduleRef.get<LeaderService>(leader, { strict: false });
    const catchUp = (): void =>
      void this.#catchUp(decorated, job).catch((error: unknown) => this.#registration.logger.error(error));
    isLeader$.pipe(filter(Boolean)).subscribe(catchUp);
  }

  /** Calls the method as a tick does, so that the other decorators apply, too. */
  async #catchUp({ instance, property }: Decorated, job: Job): Promise<void> {
    const missed = await this.#fires()
      .isMissed(job)
      .catch(() => false);
    if (missed && !this.#ended.signal.aborted) await (instance as Record<string, Method>)[property]!();
  }

  async #whenScheduled({ instance, property, settings }: Decorated): Promise<Job | undefined> {
    const { signal } = this.#ended;
    while (!signal.aborted) {
      try {
        return this.#jobOf(instance, property, settings);
      } catch {
        await pause(this.#registration.clock, LOOK_EVERY);
      }
    }
    return undefined;
  }

  #fires(): Fires {
    const { fires } = this.#registration;
    if (!fires)
      throw new LockConfigError(
        '@OncePerTick: the driver has no fact store to keep claims in. Use a driver that has one, such as RedisDriver.',
      );
    return fires;
  }

  #jobOf(instance: object, property: string | symbol, { job, tolerance }: OncePerTickSettings): Job {
    const id = job ?? `${instance.constructor.name}.${String(property)}`;
    const next = cronSchedule((instance as Record<string | symbol, object>)[property]!, id, this.#cronJobs());
    return { id, tolerance, next };
  }

  #decorated(): Decorated[] {
    return discovered(this.#discovery).flatMap(({ type, instance, isStatic }) => {
      if (!type || !instance || !isStatic) return [];
      return [...methodsOf(type.prototype)].flatMap(([property, method]): Decorated[] => {
        const wrappings = wrappingsOf(method);
        const once = wrappings.find(isOncePerTick);
        const settings = once?.options as OncePerTickSettings | undefined;
        if (settings?.token !== this.#token) return [];
        const gate = wrappings.find(({ decorator }) => decorator === 'LeaderOnly');
        return [{ instance, property, settings, leader: (gate?.options as LeaderOnlyMetadata | undefined)?.token }];
      });
    });
  }

  /** The `SchedulerRegistry` of @nestjs/schedule. The package is optional, so the class is found by its methods. */
  #cronJobs(): CronJobs {
    for (const { type, instance } of discoveredProviders(this.#discovery)) {
      const prototype: Partial<CronJobs> | undefined = type?.prototype;
      if (typeof prototype?.getCronJobs === 'function' && typeof prototype.addCronJob === 'function') {
        return instance as CronJobs;
      }
    }
    throw new LockConfigError('@OncePerTick needs ScheduleModule.forRoot() of @nestjs/schedule.');
  }
}

const isOncePerTick = ({ decorator }: Wrapping): boolean => decorator === 'OncePerTick';
