import { type Duration, toMilliseconds } from '../core/duration.js';
import { LockConfigError } from '../core/errors.js';
import { TICK_TOLERANCE } from '../core/tick-tolerance.js';
import { type CronJobLike, isTicking, scheduleOf } from './cron-schedule.js';
import type { Fires, Job } from './fires.js';

export interface OncePerTickJobOptions {
  /**
   * By how much a tick of a `CronJob` may come before its scheduled time; never more than half the interval.
   *
   * @defaultValue 1 s
   */
  tolerance?: Duration;
}

/**
 * Jobs whose fires run on one instance each, for schedules that are made or changed at run time. `@OncePerTick()` is
 * this service for a `@Cron()` method.
 *
 * The rules are those of `@OncePerTick()`: at most one instance runs a fire, and an instance that dies after its claim
 * leaves a fire that nobody runs, which is reported as a `fire-abandoned` event.
 */
export class JobService {
  readonly #fires: Fires | undefined;
  #isOver = false;

  /** @internal */
  constructor(fires: Fires | undefined) {
    this.#fires = fires;
  }

  /**
   * Runs `work` if this instance is the first to claim the fire. Otherwise it resolves to undefined. Inside of `work`
   * `currentFire()` is the scheduled instant.
   *
   * @param job the name of the job, the same on all instances, and of no other job
   * @param fire the scheduled instant of this tick, the same on all instances and never `new Date()`; or the `CronJob`
   *   of `cron` that ticks, whose schedule says which instant is meant. No instant is claimed after a later one.
   * @throws LockConfigError for wrong arguments, and on a driver without a fact store; what `work` throws; the error of
   *   the store when it did not answer for half an interval, at most 30 s
   */
  async oncePerTick<T>(
    job: string,
    fire: Date | CronJobLike,
    work: () => T | Promise<T>,
    options: OncePerTickJobOptions = {},
  ): Promise<T | undefined> {
    const where = `JobService.oncePerTick(${JSON.stringify(job)})`;
    const fires = this.#firesFor(where, job, work);
    if (!(fire instanceof Date)) {
      const scheduled = jobOf(where, job, fire, options);
      return this.#isOver ? undefined : fires.tick(scheduled, work);
    }
    const instant = fire.getTime();
    if (Number.isNaN(instant)) throw new LockConfigError(`${where}: the date is invalid. Pass the scheduled instant.`);
    // This instance could not finish a fire that it claims now; the others can.
    return this.#isOver ? undefined : fires.tickAt(job, { instant }, work);
  }

  /**
   * Runs the newest fire of a job that nobody ran, if there is one, as `oncePerTick` does. Call it once for a job that
   * was added at run time. A job that is stopped, or that the store does not know, has missed nothing.
   *
   * @throws what `oncePerTick` throws
   */
  async catchUp<T>(
    job: string,
    cronJob: CronJobLike,
    work: () => T | Promise<T>,
    options: OncePerTickJobOptions = {},
  ): Promise<T | undefined> {
    const where = `JobService.catchUp(${JSON.stringify(job)})`;
    this.#firesFor(where, job, work);
    jobOf(where, job, cronJob, options);
    this.checkLast(job, cronJob);
    if (!(await this.isMissed(job, cronJob, options))) return undefined;
    return this.oncePerTick(job, cronJob, work, options);
  }

  /**
   * Did nobody run the newest fire of a job that ticks?
   *
   * @internal
   */
  async isMissed(job: string, cronJob: CronJobLike, options: OncePerTickJobOptions = {}): Promise<boolean> {
    if (!this.#fires || !isTicking(cronJob)) return false;
    const missed = await this.#fires.isMissed(jobOf('JobService', job, cronJob, options)).catch(() => false);
    // It may have been stopped while the store was asked.
    return missed && isTicking(cronJob) && !this.#isOver;
  }

  /**
   * Reports the newest fire of a job if the instance that ran it died before this one started.
   *
   * @internal
   */
  checkLast(job: string, cronJob: CronJobLike): void {
    // Fails when the application ends.
    void this.#fires?.checkLast(jobOf('JobService', job, cronJob, {})).catch(() => undefined);
  }

  /**
   * From now on no fire is claimed: the application ends, or is no replica.
   *
   * @internal
   */
  close(): void {
    this.#isOver = true;
  }

  /** @internal */
  get isOver(): boolean {
    return this.#isOver;
  }

  #firesFor(where: string, job: string, work: unknown): Fires {
    if (typeof job !== 'string' || job === '') {
      throw new LockConfigError(`${where}: the name of the job must be a string that is not empty.`);
    }
    if (typeof work !== 'function') throw new LockConfigError(`${where}: the last argument is the function to run.`);
    if (this.#fires) return this.#fires;
    throw new LockConfigError(
      `${where}: the driver has no fact store to keep claims in. Use a driver that has one, such as RedisDriver.`,
    );
  }
}

function jobOf(where: string, id: string, cronJob: CronJobLike, { tolerance }: OncePerTickJobOptions): Job {
  if (typeof cronJob?.cronTime?.getNextDateFrom !== 'function') {
    throw new LockConfigError(`${where}: expected the scheduled instant, as a Date, or the CronJob that ticks.`);
  }
  const early = tolerance === undefined ? TICK_TOLERANCE : toMilliseconds(tolerance, `${where}: tolerance`);
  return { id, next: scheduleOf(cronJob), tolerance: early };
}
