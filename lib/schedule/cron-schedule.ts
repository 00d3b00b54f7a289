import { LockConfigError } from '../core/errors.js';
import type { NextInstant } from './schedule.js';

/** What is used of the SchedulerRegistry of @nestjs/schedule. */
export interface CronJobs {
  getCronJobs(): ReadonlyMap<string, { readonly cronTime: CronTime }>;
  addCronJob(name: string, job: never): void;
}

/** What is used of the CronTime of cron, which @nestjs/schedule brings. */
interface CronTime {
  /** An expression, or for a job that runs once a moment. */
  readonly source: string | Moment;
  readonly realDate: boolean;
  readonly timeZone?: string | null;
  /** Minutes. */
  readonly utcOffset?: number | null;
  getNextDateFrom(start: Date, timeZone?: string): Moment;
}

interface Moment {
  toMillis(): number;
}

/** What `@Cron()` leaves on a method. */
interface CronOptions {
  readonly cronTime: string | Date | Moment;
  readonly name?: string;
  readonly timeZone?: string | null;
  readonly utcOffset?: number | null;
}

/**
 * When a `@Cron()` method fires, according to the job that was made of it: by its name, or else one with the same
 * expression and time zone, which fires at the same instants.
 *
 * @throws LockConfigError when there is none
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
    // It says so when it finds none within eight years.
    return Infinity;
  }
}

function zoneOf({ timeZone, utcOffset }: CronTime): string | undefined {
  if (utcOffset == null) return timeZone ?? undefined;
  const part = (value: number): string => String(value).padStart(2, '0');
  const minutes = Math.abs(utcOffset);
  return `UTC${utcOffset < 0 ? '-' : '+'}${part(Math.floor(minutes / 60))}:${part(minutes % 60)}`;
}
