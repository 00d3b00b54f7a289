import { Inject, Injectable, type Logger, type OnApplicationBootstrap, type OnModuleDestroy } from '@nestjs/common';
import { DiscoveryService, ModuleRef } from '@nestjs/core';
import type { Clock } from '../core/clock.js';
import type { Milliseconds } from '../core/duration.js';
import { pause } from '../core/pause.js';
import { isProcessorClass, methodsOf } from '../decorators/framework-metadata.js';
import { wrappingsOf } from '../decorators/wrap-method.js';
import type { LeaderOnlyMetadata } from '../http/leader.guard.js';
import type { LeaderService } from '../leader/leader.service.js';
import { type Discovered, discoveredProviders } from './discovered.js';
import { REGISTRATION, type Registration } from './registration.js';

/** The key of @nestjs/bullmq for the options of a worker. */
const WORKER_OPTIONS = 'bullmq:worker_metadata';
/** Time between two looks at a state that no event announces. */
const LOOK_EVERY: Milliseconds = 250;

/** The part of a BullMQ worker that is used here. */
interface Worker {
  pause(doNotWaitActive: boolean): Promise<void>;
  resume(): void;
  isPaused(): boolean;
  isRunning(): boolean;
}

/** A `WorkerHost` of @nestjs/bullmq. Its getter throws before the worker has been created. */
interface Processor {
  readonly worker: Worker;
}

/**
 * Lets the workers of BullMQ processors under `@LeaderOnly()` fetch jobs only while this instance leads. On a follower
 * a job would fail and use up its attempts.
 *
 * 1. A worker starts with the first term (`autorun: false`).
 * 2. When a term ends the worker is paused. A job that runs then is leader work: the hand-over waits for it.
 * 3. With the next term the worker is resumed.
 *
 * Not covered: a job that a worker fetched just before it was paused. The wrapper of `@LeaderOnly()` gives it back.
 */
@Injectable()
export class WorkerGate implements OnApplicationBootstrap, OnModuleDestroy {
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #gated: () => [Processor, LeaderService][];
  #ended = false;

  constructor(
    @Inject(REGISTRATION) { clock, logger }: Registration,
    discovery: DiscoveryService,
    moduleRef: ModuleRef,
  ) {
    this.#clock = clock;
    this.#logger = logger;
    const processors = discoveredProviders(discovery).filter(({ type }) => gateOf(type));
    // In the constructor, before any `onModuleInit`: @nestjs/bullmq creates the workers in that hook.
    for (const { type } of processors) {
      const options = Reflect.getMetadata(WORKER_OPTIONS, type!) as object | undefined;
      Reflect.defineMetadata(WORKER_OPTIONS, { ...options, autorun: false }, type!);
    }
    this.#gated = () =>
      processors.flatMap(({ type, instance }): [Processor, LeaderService][] => {
        const leader = ownLeader(moduleRef, gateOf(type)!);
        return leader ? [[instance as Processor, leader]] : [];
      });
  }

  onApplicationBootstrap(): void {
    for (const [processor, leader] of this.#gated()) void this.#gate(processor, leader);
  }

  onModuleDestroy(): void {
    this.#ended = true;
  }

  async #gate(processor: Processor, leader: LeaderService): Promise<void> {
    const worker = await this.#workerOf(processor);
    if (!worker) return;
    let step = Promise.resolve();
    leader.isLeader$.subscribe((leads) => {
      step = step
        .then(() => (leads ? this.#open(worker) : worker.pause(this.#ended)))
        .catch((error: unknown) => this.#logger.error(error));
    });
  }

  /** Waits for the worker: with `manualRegistration` of @nestjs/bullmq the application may create it late. */
  async #workerOf(processor: Processor): Promise<Worker | undefined> {
    while (!this.#ended) {
      try {
        return processor.worker;
      } catch {
        await pause(this.#clock, LOOK_EVERY);
      }
    }
    return undefined;
  }

  async #open(worker: Worker): Promise<void> {
    // The loop of a paused worker may still be about to end. `resume()` then does nothing (taskforcesh/bullmq#3971), or
    // comes too late for the loop, depending on the version.
    while (worker.isRunning() && worker.isPaused()) await pause(this.#clock, LOOK_EVERY);
    worker.resume();
  }
}

/** The settings of `@LeaderOnly()` on a class that processes jobs. */
function gateOf(type: Discovered['type']): LeaderOnlyMetadata | undefined {
  if (!type || !isProcessorClass(type)) return undefined;
  const process = methodsOf(type.prototype).get('process');
  const wrapping = wrappingsOf(process).find(({ decorator }) => decorator === 'LeaderOnly');
  return wrapping?.options as LeaderOnlyMetadata | undefined;
}

/** The service, if it belongs to this registration. Another registration has a gate of its own. */
function ownLeader(moduleRef: ModuleRef, { token }: LeaderOnlyMetadata): LeaderService | undefined {
  try {
    return moduleRef.get<LeaderService>(token, { strict: true });
  } catch {
    return undefined;
  }
}
