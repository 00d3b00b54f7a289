import { LockConfigError } from '../core/errors.js';
import type { NextInstant } from './schedule.js';

/** The part of the SchedulerRegistry of @nestjs/schedule that is used here. */
export interface CronJobs {
  getCronJobs(): ReadonlyMap<string, { readonly cronTime: CronTime }>;
  addCronJob(name: string, job: never): void;
}

/** The part of the CronTime of cron that is used here. @nestjs/schedule brings cron. */
interface CronTime {
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
interface CronOptions {
  readonly cronTime: string | Date | Moment;
  readonly name?: string;
  readonly timeZone?: string | null;
  readonly utcOffset?: number | null;
}

/**
 * The schedule of a `@Cron()` method. @nestjs/schedule keeps no link from a method to the job that it made of it, so the
 * job is found by its name. A method without a name gets a job with the same expression and time zone: all of those
 * fire at the same instants.
 *
 * @throws LockConfigError when there is no such job
 */
export function cronSchedule(method: object, label: string, jobs: CronJobs): NextInstant {
  const options = Reflect.getMetadata('SCHEDULE_CRON_OPTIONS', method) as CronOptions | undefined;
  const all = jobs.getCronJobs();
  const job =
    options && (all.get(options.name ?? '') ?? [...all.values()].find(({ cronTime }) => fits(cronTime, options)));
  if (!job) {
    throw new LockConfigError(
      `@OncePerTick on ${label}: no cron job of this method is registered. Decorate it with @Cron(), and let ` +
        'ScheduleModule.forRoot() schedule cron jobs.',
    );
  }
  const { cronTime } = job;
  return (after) => nextInstant(cronTime, after);
}

function fits(cronTime: CronTime, { cronTime: source, timeZone, utcOffset }: CronOptions): boolean {
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

function nextInstant(cronTime: CronTime, after: number): number {
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

function zoneOf({ timeZone, utcOffset }: CronTime): string | undefined {
  if (utcOffset == null) return timeZone ?? undefined;
  const part = (value: number): string => String(value).padStart(2, '0');
  const minutes = Math.abs(utcOffset);
  return `UTC${utcOffset < 0 ? '-' : '+'}${part(Math.floor(minutes / 60))}:${part(minutes % 60)}`;
}
