import { Logger } from '@nestjs/common';
import { Subject } from 'rxjs';
import { SystemClock } from '../core/clock.js';
import type { LockEvent } from '../core/events.js';
import { LockManager } from '../core/lock-manager.js';
import { Election } from '../leader/election.js';
import { LeaderService } from '../leader/leader.service.js';
import { DEFAULT_REGISTRATION } from './injection.js';
import { LockService } from './lock.service.js';
import type { ResolvedOptions } from './options.js';

/** What one `forRoot` builds, and the order in which it starts and ends. */
export class Registration {
  readonly name: string;
  readonly locks: LockService;
  readonly leader: LeaderService;
  readonly logger: Logger;
  /** The shortest TTL that the driver accepts, in milliseconds. */
  readonly minTtl: number;
  readonly #options: ResolvedOptions;
  readonly #manager: LockManager;
  readonly #events = new Subject<LockEvent>();
  readonly #clock = new SystemClock();
  #shutdownBegan: number | undefined;
  #leaderStopped: Promise<void> | undefined;
  #ended: Promise<void> | undefined;

  constructor(name: string, options: ResolvedOptions) {
    this.name = name;
    this.logger = new Logger(name === DEFAULT_REGISTRATION ? 'DistLock' : `DistLock(${name})`);
    this.minTtl = options.lock.minTtl;
    this.#options = options;
    this.#manager = new LockManager({
      driver: options.driver,
      instance: options.instance.id,
      clock: this.#clock,
      random: Math.random,
      emit: (event) => this.#emit(event),
      onStore: (event) => {
        if (event.type === 'warning') this.logger.warn(event.message);
        else if (event.type === 'down') this.logger.error(`The lock store is unreachable. ${event.cause.message}`);
        else this.logger.log('The lock store is reachable.');
      },
    });
    this.locks = new LockService(this.#manager, options.lock, this.#events.asObservable());
    this.leader = new LeaderService(
      (changed) =>
        new Election(this.#manager, options.instance, options.election, {
          changed,
          problem: (message, cause) => this.logger.error(message, cause instanceof Error ? cause.stack : undefined),
        }),
    );
  }

  /** @throws DriverUnavailableError with `failFast`, when the store cannot be reached */
  async connect(): Promise<void> {
    try {
      await this.#manager.connect();
    } catch (error) {
      if (this.#options.failFast) {
        await this.#manager.close(0);
        throw error;
      }
      this.logger.error(`The lock store is unreachable; trying again until it answers. ${(error as Error).message}`);
    }
  }

  startElection(): void {
    this.leader.start();
  }

  /**
   * Leader-only code is not started any more, and what runs is told to end; the lease is kept until it has. The grace
   * period begins: Nest waits for requests before it calls `close`, and some end only when their lock's signal aborts.
   */
  beginShutdown(): void {
    if (this.#leaderStopped) return;
    this.#shutdownBegan = this.#clock.now();
    this.#leaderStopped = this.leader.stop();
    // A failure is reported by `close`, which awaits the same promise.
    this.#clock.after(this.#options.grace, () => void this.#end().catch(() => undefined));
  }

  async handOver(): Promise<void> {
    await this.#leaderStopped;
  }

  /** Waits for what is left of the grace period until all locks are released, and disconnects. */
  async close(): Promise<void> {
    await this.#end();
    this.#events.complete();
  }

  #end(): Promise<void> {
    const spent = this.#clock.now() - (this.#shutdownBegan ?? this.#clock.now());
    this.#ended ??= this.#manager.close(Math.max(0, this.#options.grace - spent));
    return this.#ended;
  }

  #emit(event: LockEvent): void {
    if (event.type === 'lost') {
      this.logger.warn(`Lock "${event.key}" was lost (${event.reason}) after ${Math.round(event.held)} ms.`);
    }
    this.#events.next(event);
  }
}
