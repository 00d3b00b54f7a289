import type { OnApplicationBootstrap, OnModuleDestroy } from '@nestjs/common';
import type { DiscoveryService, ModuleRef } from '@nestjs/core';
import { filter } from 'rxjs';
import type { Milliseconds } from '../core/duration.js';
import { pause } from '../core/pause.js';
import { methodsOf } from '../decorators/framework-metadata.js';
import type { OncePerTickSettings, TickGate } from '../decorators/once-per-tick.js';
import { type Wrapping, wrappingsOf } from '../decorators/wrap-method.js';
import type { LeaderOnlyMetadata } from '../http/leader.guard.js';
import type { LeaderService } from '../leader/leader.service.js';
import { type CronJobLike, cronOptionsOf } from '../schedule/cron-schedule.js';
import type { CronMethods } from './cron-methods.js';
import { discovered } from './discovered.js';
import type { Registration } from './registration.js';

/** Time between two looks for the job of a method: more and more, up to this. */
const LONGEST_LOOK: Milliseconds = 250;

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
  readonly #methods: CronMethods;
  readonly #discovery: DiscoveryService;
  readonly #moduleRef: ModuleRef;
  readonly #token: string;

  constructor(
    registration: Registration,
    methods: CronMethods,
    discovery: DiscoveryService,
    moduleRef: ModuleRef,
    token: string,
  ) {
    this.#registration = registration;
    this.#methods = methods;
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
    const { jobs } = this.#registration;
    const job = jobName(instance, property, settings);
    // At the end of the application its cron jobs are removed, and an observer may have none.
    if (jobs.isOver) return undefined;
    return jobs.oncePerTick(job, this.#methods.jobOf(instance, property), work, settings);
  }

  onApplicationBootstrap(): void {
    if (this.#registration.jobs.isOver) return;
    for (const decorated of this.#decorated()) {
      const report = (error: unknown): void => this.#registration.logger.error(error);
      void this.#begin(decorated).catch(report);
    }
  }

  onModuleDestroy(): void {
    this.#registration.jobs.close();
  }

  async #begin(decorated: Decorated): Promise<void> {
    const { instance, property, settings, leader } = decorated;
    const { jobs, logger } = this.#registration;
    const cronJob = await this.#whenScheduled(decorated);
    if (!cronJob) return;
    jobs.checkLast(jobName(instance, property, settings), cronJob);
    if (!settings.catchUp) return;
    const { initialDelay: delay = 0 } = cronOptionsOf((instance as Record<string, Method>)[property]!) ?? {};
    if (delay > 0) await pause(this.#registration.clock, delay + LONGEST_LOOK);
    if (leader === undefined) return this.#catchUp(decorated);
    const { isLeader$ } = this.#moduleRef.get<LeaderService>(leader, { strict: false });
    const catchUp = (): void => void this.#catchUp(decorated).catch((error: unknown) => logger.error(error));
    isLeader$.pipe(filter(Boolean)).subscribe(catchUp);
  }

  /** Through the method itself, as a tick does: with what other decorators say. Never for a job that does not tick. */
  async #catchUp({ instance, property, settings }: Decorated): Promise<void> {
    const cronJob = this.#scheduled(instance, property);
    if (!cronJob) return;
    const { jobs } = this.#registration;
    const missed = await jobs.isMissed(jobName(instance, property, settings), cronJob, settings);
    if (missed) await (instance as Record<string, Method>)[property]!();
  }

  /** Jobs are scheduled by a hook of another module, which may come later. */
  async #whenScheduled({ instance, property }: Decorated): Promise<CronJobLike | undefined> {
    const { jobs } = this.#registration;
    for (let time = 1; !jobs.isOver; time = Math.min(2 * time, LONGEST_LOOK)) {
      const cronJob = this.#scheduled(instance, property);
      if (cronJob) return cronJob;
      await pause(this.#registration.clock, time);
    }
    return undefined;
  }

  /** Undefined for a job that is not scheduled so far, or not any more. */
  #scheduled(instance: object, property: string): CronJobLike | undefined {
    try {
      return this.#methods.jobOf(instance, property);
    } catch {
      return undefined;
    }
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
}

/** How the instances know the job of a method. */
function jobName(instance: object, property: string | symbol, { job }: OncePerTickSettings): string {
  return job ?? `${instance.constructor.name}.${String(property)}`;
}

const isOncePerTick = ({ decorator }: Wrapping): boolean => decorator === 'OncePerTick';
