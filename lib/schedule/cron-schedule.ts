import { LockConfigError } from '../core/errors.js';
import type { NextInstant } from './schedule.js';

/** The part of the SchedulerRegistry of @nestjs/schedule that is used here. */
export interface CronJobs {
  getCronJobs(): ReadonlyMap<string, CronJobLike>;
  addCronJob(name: string, job: never): void;
}

/** The part of a `CronJob` of `cron` that is used. Its time may be changed while it is scheduled. */
export interface CronJobLike {
  readonly cronTime: CronTimeLike;
  /** Does it tick? */
  readonly isActive?: boolean;
  /** The same, before version 4 of `cron`. */
  readonly running?: boolean | undefined;
}

/** The part of a `CronTime` of `cron` that is used. */
export interface CronTimeLike {
  /** An expression. A job that runs once has a moment instead. */
  readonly source: string | Moment;
  /** The job runs once, at the moment in `source`. */
  readonly realDate: boolean;
  readonly timeZone?: string | null;
  /** Minutes east of UTC. */
  readonly utcOffset?: number | null;
  getNextDateFrom(start: Date, timeZone?: string): Moment;
}

interface Moment {
  toMillis(): number;
}

/** The metadata that `@Cron()` sets on a method. */
export interface CronOptions {
  readonly cronTime: string | Date | Moment;
  readonly name?: string;
  readonly initialDelay?: number;
  /** Of coming versions of @nestjs/schedule. */
  readonly lockKey?: string;
  readonly timeZone?: string | null;
  readonly utcOffset?: number | null;
}

/**
 * The jobs that @nestjs/schedule made of `@Cron()` methods:
 *
 * 1. A job with a name is the one that the registry has by that name now.
 * 2. A job without a name is the first that fits the decorator, and belongs to no other method. It stays the job of the
 *    method, whatever time it is given later.
 */
export class MethodJobs {
  readonly #found = new WeakMap<object, Map<string | symbol, CronJobLike>>();
  readonly #taken = new WeakSet<CronJobLike>();

  /** @throws LockConfigError when there is none */
  of(instance: object, property: string | symbol, label: string, jobs: CronJobs): CronJobLike {
    const method = (instance as Record<string | symbol, object>)[property]!;
    const options = cronOptionsOf(method);
    const job =
      options &&
      (options.name ? jobs.getCronJobs().get(options.name) : this.#unnamed(instance, property, options, jobs));
    if (job) return job;
    throw new LockConfigError(
      `@OncePerTick on ${label}: no cron job of this method is registered. Decorate it with @Cron(), and let ` +
        'ScheduleModule.forRoot() schedule cron jobs.',
    );
  }

  #unnamed(instance: object, property: string | symbol, options: CronOptions, jobs: CronJobs): CronJobLike | undefined {
    const found = this.#found.get(instance) ?? new Map<string | symbol, CronJobLike>();
    this.#found.set(instance, found);
    const known = found.get(property);
    if (known) return known;
    const fitting = [...jobs.getCronJobs().values()].filter(({ cronTime }) => fits(cronTime, options));
    const job = fitting.find((one) => !this.#taken.has(one)) ?? fitting[0];
    if (!job) return undefined;
    this.#taken.add(job);
    found.set(property, job);
    return job;
  }
}

export function cronOptionsOf(method: object): CronOptions | undefined {
  return Reflect.getMetadata('SCHEDULE_CRON_OPTIONS', method) as CronOptions | undefined;
}

/** When a job fires, by the time that it has now. */
export function scheduleOf({ cronTime }: CronJobLike): NextInstant {
  return (after) => nextInstant(cronTime, after);
}

/** False for a job that is disabled, stopped, or removed from the registry, which stops it. */
export function isTicking({ isActive, running }: CronJobLike): boolean {
  return isActive ?? running ?? false;
}

function fits(cronTime: CronTimeLike, { cronTime: source, timeZone, utcOffset }: CronOptions): boolean {
  const local = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const zone = timeZone ?? (utcOffset == null ? local : undefined);
  return (
    asText(cronTime.source) === asText(source) &&
    (cronTime.timeZone ?? undefined) === zone &&
    (cronTime.utcOffset ?? undefined) === (utcOffset ?? undefined)
  );
}

function asText(source: string | Date | Moment): string {
  if (typeof source === 'string') return source;
  return String(source instanceof Date ? source.getTime() : source.toMillis());
}

function nextInstant(cronTime: CronTimeLike, after: number): number {
  const { source, realDate } = cronTime;
  if (realDate) {
    const at = (source as Moment).toMillis();
    return at > after ? at : Infinity;
  }
  try {
    return cronTime.getNextDateFrom(new Date(after), zoneOf(cronTime)).toMillis();
  } catch {
    // cron throws when it finds no instant within eight years.
    return Infinity;
  }
}

function zoneOf({ timeZone, utcOffset }: CronTimeLike): string | undefined {
  if (utcOffset == null) return timeZone ?? undefined;
  const part = (value: number): string => String(value).padStart(2, '0');
  const minutes = Math.abs(utcOffset);
  return `UTC${utcOffset < 0 ? '-' : '+'}${part(Math.floor(minutes / 60))}:${part(minutes % 60)}`;
}
