import type { Logger } from '@nestjs/common';
import { Subject } from 'rxjs';
import { type Clock, SystemClock, systemRandom } from '../core/clock.js';
import type { Milliseconds } from '../core/duration.js';
import type { LockEvent } from '../core/events.js';
import type { TtlRange } from '../core/lock-driver.js';
import { firesScope } from '../core/store-key.js';
import { DEFAULT_REGISTRATION } from '../decorators/injection.js';
import { Election } from '../leader/election.js';
import { ElectionSet, LeaderElections } from '../leader/leader-elections.js';
import { LeaderService } from '../leader/leader.service.js';
import { LockManager } from '../locks/lock-manager.js';
import { LockService } from '../locks/lock.service.js';
import { Fires } from '../schedule/fires.js';
import { JobService } from '../schedule/job.service.js';
import type { ResolvedOptions } from './resolve-options.js';
import { SafeLogger } from './safe-logger.js';
import { StoreReports } from './store-reports.js';

/** The token of the registration inside its own module, where every registration has the same token. */
export const REGISTRATION = 'DIST_LOCK_REGISTRATION';

/**
 * The parts that one `forRoot` builds, and the order in which they start and end.
 *
 * 1. `connect`: the driver connects. Without `failFast` a store that cannot be reached is reported, and the start goes
 *    on.
 * 2. `startElections`.
 * 3. `beginShutdown`: leader work is told to end, and the grace period begins. When it is over, step 5 begins in any
 *    case.
 * 4. `handOver` waits for the end of leader work and of the elections.
 * 5. `close` ends fires, then locks, each within the rest of the grace period, and disconnects.
 */
export class Registration {
  readonly name: string;
  readonly locks: LockService;
  /** Undefined where the driver has no fact store. */
  readonly fires: Fires | undefined;
  readonly jobs: JobService;
  readonly elections: ElectionSet;
  /** The names of the elections that the options configure. */
  readonly configured: readonly string[];
  /** The service for elections that are created at run time. */
  readonly leaderElections: LeaderElections;
  readonly logger: Logger;
  /** The clock of all parts of this registration. */
  readonly clock: Clock = new SystemClock();
  /** The TTLs that the driver accepts. */
  readonly ttlRange: TtlRange;
  /** The TTL of a lock without one of its own. */
  readonly lockTtl: Milliseconds;
  readonly #options: ResolvedOptions;
  readonly #store: StoreReports;
  readonly #manager: LockManager;
  readonly #events = new Subject<LockEvent>();
  #shutdownBegan: number | undefined;
  #electionsStopped: Promise<void> | undefined;
  #ended: Promise<void> | undefined;

  constructor(name: string, options: ResolvedOptions) {
    this.name = name;
    this.logger = new SafeLogger(name === DEFAULT_REGISTRATION ? 'DistLock' : `DistLock(${name})`);
    this.ttlRange = options.lock.ttlRange;
    this.lockTtl = options.lock.ttl;
    this.#options = options;
    this.#store = new StoreReports(this.logger, this.clock);
    this.#manager = new LockManager({
      driver: options.driver,
      instance: options.instance.id,
      clock: this.clock,
      random: systemRandom,
      limits: options.waiting,
      warnAfter: options.warnAfter,
      emit: (event) => this.#emit(event),
      onStore: (event) => this.#store.heard(event),
    });
    this.locks = new LockService(this.#manager, options.lock, this.#events.asObservable());
    const { facts } = options.driver;
    this.fires =
      facts &&
      new Fires({
        facts,
        scope: firesScope(options.lock.namespace),
        instance: options.instance.id,
        aliveFor: options.lock.ttl,
        clock: this.clock,
        random: systemRandom,
        emit: (event) => this.#emit(event),
      });
    this.jobs = new JobService(this.fires);
    if (options.observeOnly) this.jobs.close();
    this.elections = new ElectionSet((settings) => (changed, report) => {
      const problem = (message: string, cause?: unknown): void =>
        this.logger.error(message, cause instanceof Error ? cause.stack : cause);
      return new Election(this.#manager, options.instance, settings, { changed, report, problem });
    });
    this.configured = options.elections.map((election) => election.name);
    for (const settings of options.elections) this.elections.add(settings, LeaderService);
    const { namespace, ttlRange } = options.lock;
    const { grace, observeOnly } = options;
    this.leaderElections = new LeaderElections(this.elections, { namespace, ttlRange, grace, observeOnly });
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
      this.#store.startFailed(error as Error);
    }
  }

  /** Whether this process is no replica: it takes part in no election and runs no job. */
  get observesOnly(): boolean {
    return this.#options.observeOnly;
  }

  startElections(): void {
    if (this.observesOnly) {
      this.logger.log('This process only observes: it takes part in no election and runs no job of @OncePerTick().');
    }
    this.elections.start();
  }

  /**
   * Leader-only code is no longer started. The signal of a term aborts, and the lease is kept until leader work has
   * ended. The grace period begins here, not in `close`: Nest waits for all requests before it calls `close`, and a
   * request may end only when the signal of its lock aborts.
   */
  beginShutdown(): void {
    if (this.#electionsStopped) return;
    this.#shutdownBegan = this.clock.now();
    this.#electionsStopped = this.elections.stop();
    // A failure is reported by `close`, which awaits the same promise.
    this.clock.after(this.#options.grace, () => void this.#end().catch(() => undefined));
  }

  async handOver(): Promise<void> {
    await this.#electionsStopped;
  }

  /** Waits until all locks are released, for the rest of the grace period at most, and disconnects. */
  async close(): Promise<void> {
    await this.#end();
    this.#events.complete();
  }

  #end(): Promise<void> {
    this.#ended ??= this.#endInOrder();
    return this.#ended;
  }

  /** Fires end first: they may need locks, and they write to the store that they are done. */
  async #endInOrder(): Promise<void> {
    await this.fires?.close(this.#graceLeft());
    await this.#manager.close(this.#graceLeft());
  }

  #graceLeft(): number {
    const spent = this.clock.now() - (this.#shutdownBegan ?? this.clock.now());
    return Math.max(0, this.#options.grace - spent);
  }

  #emit(event: LockEvent): void {
    this.#events.next(event);
    if (event.type === 'lost') {
      const subject = event.election === undefined ? 'Lock' : 'Election';
      this.logger.warn(`${subject} "${event.key}" was lost (${event.reason}) after ${Math.round(event.held)} ms.`);
    }
    if (event.type === 'fire-abandoned') {
      const { job, by = 'unknown', instant } = event;
      this.logger.error(`${job} of ${new Date(instant).toISOString()} was abandoned: instance ${by} died with it.`);
    }
  }
}
