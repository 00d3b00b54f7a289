import { Injectable } from '@nestjs/common';
import { Cron, Interval, ScheduleModule, SchedulerRegistry } from '@nestjs/schedule';
import type { TestingModule } from '@nestjs/testing';
import {
  bindDistLock,
  LeaderOnly,
  LockConfigError,
  LockService,
  OncePerTick,
  type OncePerTickOptions,
} from 'nestjs-dist-lock';
import { MemoryDriver } from 'nestjs-dist-lock/memory';
import { filter, firstValueFrom, ReplaySubject, Subject, take, toArray } from 'rxjs';
import { beforeEach, describe, expect, it } from 'vitest';
import { MethodJobs, scheduleOf } from '../../../lib/schedule/cron-schedule.js';
import { newestInstant } from '../../../lib/schedule/schedule.js';
import { compile, knownLeader, leading, start, startError } from '../../support/nest/app.js';
import { Step } from '../../support/nest/step.js';

let driver: MemoryDriver;
let runs: ReplaySubject<string>;

beforeEach(async () => {
  driver = new MemoryDriver();
  // Open before the first application is.
  await driver.connect(() => undefined);
  runs = new ReplaySubject();
});

const nextRuns = (count: number): Promise<string[]> => firstValueFrom(runs.pipe(take(count), toArray()));

function replica(type: new () => object, id: string): Promise<TestingModule> {
  return start({ locks: { driver, instance: { id } }, imports: [ScheduleModule.forRoot()], providers: [type] });
}

const SCOPE = 'dist-lock:f:';
const YEARLY = '0 0 0 1 1 *';
const NEW_YEAR = new Date(new Date().getFullYear(), 0, 1).getTime();

/** As if this fire had been the newest that was run. */
async function lastRan(job: string, instant: number): Promise<void> {
  await driver.facts.put(SCOPE, `last ${job}`, JSON.stringify({ instant, by: 'earlier', done: true }), 3_600_000);
}

describe('a @Cron method under @OncePerTick', () => {
  @Injectable()
  class EverySecond {
    @Cron('* * * * * *')
    @OncePerTick()
    async above(): Promise<void> {
      runs.next('above');
    }

    @OncePerTick({ job: 'named' })
    @Cron('* * * * * *', { name: 'below' })
    async below(): Promise<void> {
      runs.next('below');
    }

    /** Control: what fires on every replica. */
    @Cron('* * * * * *')
    async everywhere(): Promise<void> {
      runs.next('everywhere');
    }
  }

  it('runs once for each fire, on one of the replicas', async () => {
    const apps = await Promise.all(['a', 'b', 'c'].map((id) => replica(EverySecond, id)));
    const instants = { above: [] as number[], named: [] as number[] };
    const claimed = new Subject<void>();
    for (const app of apps) {
      app.get(LockService).events$.subscribe((event) => {
        if (event.type !== 'fire-claimed') return;
        instants[event.job === 'named' ? 'named' : 'above'].push(event.instant);
        claimed.next();
      });
    }
    await firstValueFrom(claimed.pipe(filter(() => instants.above.length >= 3 && instants.named.length >= 3)));
    await Promise.all(apps.map((app) => app.close()));
    const counts = { above: 0, below: 0, everywhere: 0 };
    runs.subscribe((name) => counts[name as keyof typeof counts]++);
    expect(counts).toMatchObject({ above: instants.above.length, below: instants.named.length });
    expect(counts.everywhere).toBeGreaterThan(instants.above.length);
    for (const list of [instants.above, instants.named]) expect(new Set(list).size).toBe(list.length);
    for (const instant of [...instants.above, ...instants.named]) expect(instant % 1000).toBe(0);
  });

  it('runs when a unit test calls it', async () => {
    await bindDistLock(new EverySecond(), {}).above();
    expect(await nextRuns(1)).toEqual(['above']);
  });

  it('is waited for at shutdown', async () => {
    const step = new Step();
    @Injectable()
    class Long {
      @Cron(YEARLY)
      @OncePerTick()
      async run(): Promise<void> {
        await step.run();
        runs.next('done');
      }
    }
    const app = await replica(Long, 'a');
    void app.get(Long).run();
    await step.begun;
    const closed = app.close();
    step.end();
    await closed;
    expect(await nextRuns(1)).toEqual(['done']);
  });
});

describe('the schedule of a @Cron method', () => {
  @Injectable()
  class Jobs {
    @Cron('0 30 2 * * *')
    local(): void {}

    @Cron('0 30 2 * * *', { timeZone: 'Asia/Kolkata' })
    zone(): void {}

    @Cron('0 30 2 * * *', { utcOffset: 330 })
    offset(): void {}

    @Cron('0 30 2 * * *', { utcOffset: -90 })
    negative(): void {}

    @Cron('0 15 3 * * 1-5', { name: 'named', timeZone: 'America/New_York' })
    named(): void {}

    @Cron(new Date(Date.now() + 3_600_000))
    date(): void {}
  }

  it.each(['local', 'zone', 'offset', 'negative', 'named', 'date'] as const)('%s: is that of its job', async (name) => {
    const app = await start({ imports: [ScheduleModule.forRoot()], providers: [Jobs] });
    const jobs = app.get(SchedulerRegistry);
    const next = scheduleOf(new MethodJobs().of(app.get(Jobs), name, name, jobs));
    const dates = [...jobs.getCronJobs().values()].map((job) => job.nextDate().toMillis());
    const instant = next(Date.now());
    expect(dates).toContain(instant);
    // Two jobs share an expression, and differ in their time zone.
    if (name === 'zone' || name === 'offset') expect(new Date(instant).toISOString()).toContain('T21:00:00');
    if (name === 'negative') expect(new Date(instant).toISOString()).toContain('T04:00:00');
    expect(newestInstant(next, instant)).toBe(instant);
    expect(next(instant)).toBeGreaterThan(instant);
  });

  it('follows the job when that is given another time', async () => {
    const app = await start({ imports: [ScheduleModule.forRoot()], providers: [Jobs] });
    const jobs = app.get(SchedulerRegistry);
    const { cronTime } = jobs.getCronJob('named');
    jobs
      .getCronJob('named')
      .setTime(new (cronTime.constructor as new (text: string) => typeof cronTime)('0 45 4 * * *'));
    const next = new Date(scheduleOf(new MethodJobs().of(app.get(Jobs), 'named', 'named', jobs))(Date.now()));
    expect([next.getHours(), next.getMinutes()]).toEqual([4, 45]);
  });
});

describe('catchUp', () => {
  @Injectable()
  class Yearly {
    @Cron(YEARLY)
    @OncePerTick({ job: 'yearly', catchUp: true })
    async run(): Promise<void> {
      runs.next('caught up');
    }
  }

  @Injectable()
  class LeaderYearly {
    @Cron(YEARLY)
    @LeaderOnly({ catchUp: true })
    async leaders(): Promise<void> {
      runs.next('caught up');
    }
  }

  const claimsOf = async (app: TestingModule): Promise<number> => {
    const event = await firstValueFrom(
      app.get(LockService).events$.pipe(filter(({ type }) => type === 'fire-claimed')),
    );
    return 'instant' in event ? event.instant : 0;
  };

  it('runs the newest fire that nobody ran, at the start, once', async () => {
    await lastRan('yearly', NEW_YEAR - 2 * 365 * 24 * 3_600_000);
    const a = await replica(Yearly, 'a');
    expect(await claimsOf(a)).toBe(NEW_YEAR);
    expect(await nextRuns(1)).toEqual(['caught up']);
    const seen: string[] = [];
    runs.subscribe((name) => seen.push(name));
    const b = await replica(Yearly, 'b');
    await b.get(Yearly).run();
    expect(seen).toEqual(['caught up']);
  });

  it.each([
    ['is new', async () => undefined],
    ['ran the newest', () => lastRan('yearly', NEW_YEAR)],
  ])('does nothing for a job that %s', async (_what, prepare) => {
    await prepare();
    const app = await replica(Yearly, 'a');
    // What is claimed as missed is claimed before this.
    await leading(app);
    for (let turn = 0; turn < 50; turn++) await new Promise(setImmediate);
    const seen: string[] = [];
    runs.subscribe((name) => seen.push(name));
    expect(seen).toEqual([]);
  });

  it('runs on the leader only, at the beginning of its term', async () => {
    const other = await start({ locks: { driver, instance: { id: 'the-leader' } } });
    await leading(other);
    const app = await replica(LeaderYearly, 'b');
    await knownLeader(app);
    await lastRan('LeaderYearly.leaders', NEW_YEAR - 2 * 365 * 24 * 3_600_000);
    const seen: string[] = [];
    runs.subscribe((name) => seen.push(name));
    for (let turn = 0; turn < 50; turn++) await new Promise(setImmediate);
    expect(seen).toEqual([]);
    const claimed = claimsOf(app);
    await other.close();
    expect(await claimed).toBe(NEW_YEAR);
    expect(await nextRuns(1)).toEqual(['caught up']);
  });
});

describe('@OncePerTick is refused', () => {
  class OnInterval {
    @Interval(3_600_000)
    @OncePerTick()
    async run(): Promise<void> {}
  }
  class OnMethod {
    @OncePerTick()
    async run(): Promise<void> {}
  }
  class Above {
    @Cron(YEARLY)
    @OncePerTick()
    @LeaderOnly()
    async run(): Promise<void> {}
  }
  class Twice {
    @Cron(YEARLY)
    @OncePerTick({ job: 'Twice.other' })
    async run(): Promise<void> {}

    @Cron(YEARLY)
    @OncePerTick()
    async other(): Promise<void> {}
  }
  const NO_CRON =
    'only the fires of a @Cron() method have times that all instances share. Add @Cron(), or remove @OncePerTick().';

  it.each<[new () => object, string]>([
    [OnInterval, `@OncePerTick() on OnInterval.run: ${NO_CRON}`],
    [OnMethod, `@OncePerTick() on OnMethod.run: ${NO_CRON}`],
    [
      Above,
      '@OncePerTick() on Above.run: a follower would claim the fire and then skip it. Write @LeaderOnly() above ' +
        '@OncePerTick().',
    ],
    [
      Twice,
      '@OncePerTick() on Twice.other: Twice.run has the same job name "Twice.other". Give one of them another `job`.',
    ],
  ])('at start: %o', async (type, message) => {
    expect(await startError(compile({ providers: [type] }))).toEqual(new LockConfigError(message));
  });

  it('with a driver that keeps no claims', async () => {
    class Fine {
      @Cron(YEARLY)
      @OncePerTick()
      async run(): Promise<void> {}
    }
    const plain = new Proxy(driver, {
      get: (target, name) => {
        const value = name === 'facts' ? undefined : (Reflect.get(target, name) as unknown);
        return typeof value === 'function' ? (value.bind(target) as unknown) : value;
      },
    });
    expect(await startError(compile({ providers: [Fine], locks: { driver: plain } }))).toEqual(
      new LockConfigError(
        '@OncePerTick() on Fine.run: the driver has no fact store to keep claims in. Use a driver that has one, such as RedisDriver.',
      ),
    );
  });

  it.each<[unknown, string]>([
    [{ job: 5 }, '@OncePerTick: job: expected a string.'],
    [{ job: '' }, '@OncePerTick: job: must not be empty.'],
    [{ catchUp: 'yes' }, '@OncePerTick: catchUp: expected a boolean.'],
    [{ retry: 1 }, '@OncePerTick: retry: unknown option. Known: job, tolerance, catchUp, registration.'],
  ])('where it is written: %o', (options, text) => {
    expect(() => OncePerTick(options as OncePerTickOptions)).toThrow(new LockConfigError(text));
  });
});
