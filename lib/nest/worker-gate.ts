import { Inject, Injectable, Logger, type OnApplicationBootstrap, type OnModuleDestroy } from '@nestjs/common';
import { DiscoveryService, ModuleRef } from '@nestjs/core';
import type { Clock } from '../core/clock.js';
import { pause } from '../core/pause.js';
import { isProcessorClass, methodsOf } from '../decorators/framework-metadata.js';
import { wrappingsOf } from '../decorators/wrap-method.js';
import type { LeaderOnlyMetadata } from '../http/leader.guard.js';
import type { LeaderService } from '../leader/leader.service.js';
import { type Discovered, discoveredProviders } from './discovered.js';
import { REGISTRATION, type Registration } from './registration.js';

const WORKER_OPTIONS = 'bullmq:worker_metadata';
/** How often something is looked at that nobody announces, in milliseconds. */
const LOOK_EVERY = 250;

/** What is used of a worker of BullMQ. */
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
 * Lets the workers of BullMQ processors under `@LeaderOnly()` fetch jobs while this instance leads and pauses them
 * otherwise: on a follower a job would fail, and use up its attempts. A worker does not start before the first term. A
 * job that runs when a term ends is leader work, which the hand-over waits for.
 */
@Injectable()
export class WorkerGate implements OnApplicationBootstrap, OnModuleDestroy {
  readonly #logger = new Logger('DistLock');
  readonly #clock: Clock;
  readonly #gated: () => [Processor, LeaderService][];
  #ended = false;

  constructor(@Inject(REGISTRATION) { clock }: Registration, discovery: DiscoveryService, moduleRef: ModuleRef) {
    this.#clock = clock;
    const processors = discoveredProviders(discovery).filter(({ type }) => gateOf(type));
    // Before any `onModuleInit`: that is where @nestjs/bullmq creates the workers.
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

  /** The application may register its workers by hand, and late. */
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
    // Resumed while its loop is about to end it would look as if it ran.
    while (worker.isRunning() && worker.isPaused()) await pause(this.#clock, LOOK_EVERY);
    worker.resume();
  }
}

/** The `@LeaderOnly()` of a class that processes jobs. */
function gateOf(type: Discovered['type']): LeaderOnlyMetadata | undefined {
  if (!type || !isProcessorClass(type)) return undefined;
  const process = methodsOf(type.prototype).get('process');
  const wrapping = wrappingsOf(process).find(({ decorator }) => decorator === 'LeaderOnly');
  return wrapping?.options as LeaderOnlyMetadata | undefined;
}

/** The service of this registration, not of another one, which has a gate of its own. */
function ownLeader(moduleRef: ModuleRef, { token }: LeaderOnlyMetadata): LeaderService | undefined {
  try {
    return moduleRef.get<LeaderService>(token, { strict: true });
  } catch {
    return undefined;
  }
}
