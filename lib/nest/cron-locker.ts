import type { Clock } from '../core/clock.js';
import { LockConfigError } from '../core/errors.js';
import type { JobService } from '../schedule/job.service.js';
import type { CronMethods } from './cron-methods.js';

/**
 * The `CronLocker` that coming versions of @nestjs/schedule ask before each tick of a `@Cron()` with
 * `distributed: true`. It claims the fire of the tick, as `@OncePerTick()` does, so a tick runs on one instance also where
 * it takes less time than the clocks differ. A lock with a TTL would let it run twice, or lose the next tick.
 *
 * `ScheduleModule.forRootAsync({ inject: [DistLockCronLocker], useFactory: (locker) => ({ distributed: { locker } }) })`
 */
export class DistLockCronLocker {
  readonly #jobs: JobService;
  readonly #methods: CronMethods;
  readonly #clock: Clock;
  /** What ends the runs of each key, the oldest first. */
  readonly #running = new Map<string, Set<() => void>>();

  /** @internal */
  constructor(jobs: JobService, methods: CronMethods, clock: Clock) {
    this.#jobs = jobs;
    this.#methods = methods;
    this.#clock = clock;
  }

  /**
   * Claims the fire of a tick. True on one instance.
   *
   * @param key the `lockKey` of a `@Cron()` method, or its `name`, or class and method: the name of the job
   * @param ttlMs milliseconds after which the run counts as ended if `release` was not called
   * @throws LockConfigError when no `@Cron()` method has this key; the error of the store when it did not answer
   */
  async tryAcquire(key: string, ttlMs: number): Promise<boolean> {
    const cronJob = this.#methods.byKey(key);
    if (!cronJob) {
      throw new LockConfigError(
        `DistLockCronLocker: no @Cron() method has the key "${key}", so nothing says which fire a tick is for.`,
      );
    }
    return new Promise((resolve, reject) => {
      const run = (): Promise<void> => {
        resolve(true);
        return this.#ended(key, ttlMs);
      };
      this.#jobs.oncePerTick(key, cronJob, run).then(() => resolve(false), reject);
    });
  }

  /** The run of a tick has ended. The claim stays: nobody runs the tick again. */
  async release(key: string): Promise<void> {
    const [end] = this.#running.get(key) ?? [];
    end?.();
  }

  #ended(key: string, ttl: number): Promise<void> {
    return new Promise((resolve) => {
      const runs = this.#running.get(key) ?? new Set();
      this.#running.set(key, runs);
      const end = (): void => {
        timer.cancel();
        runs.delete(end);
        resolve();
      };
      const timer = this.#clock.after(ttl, end);
      runs.add(end);
    });
  }
}
