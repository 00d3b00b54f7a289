import { Injectable } from '@nestjs/common';
import { Cron, CronExpression, ScheduleModule, SchedulerRegistry } from '@nestjs/schedule';
import type { TestingModule } from '@nestjs/testing';
import { CronJob, CronTime } from 'cron';
import {
  currentFire,
  DistLockModule,
  InjectJobService,
  JobService,
  LeaderOnly,
  LockConfigError,
  LockService,
  OncePerTick,
} from 'nestjs-dist-lock';
import { MemoryDriver } from 'nestjs-dist-lock/memory';
import { filter, firstValueFrom, ReplaySubject, take, toArray } from 'rxjs';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { leading, start } from '../../support/nest/app.js';

const SCOPE = 'dist-lock:f:';
const YEARLY = '0 0 0 1 1 *';
const YEAR = 365 * 24 * 3_600_000;
const NEW_YEAR = new Date(new Date().getFullYear(), 0, 1).getTime();

type RunDecorator = (
  target: object,
  property: string | symbol,
  descriptor: TypedPropertyDescriptor<() => Promise<void>>,
) => void;

let driver: MemoryDriver;
let runs: ReplaySubject<string>;

beforeEach(async () => {
  driver = new MemoryDriver();
  // Open before the first application is.
  await driver.connect(() => undefined);
  runs = new ReplaySubject();
});

const nextRuns = (count: number): Promise<string[]> => firstValueFrom(runs.pipe(take(count), toArray()));

function seen(): string[] {
  const all: string[] = [];
  runs.subscribe((run) => all.push(run)).unsubscribe();
  return all;
}

async function settled(): Promise<void> {
  for (let turn = 0; turn < 50; turn++) await new Promise(setImmediate);
}

function replica(id: string, ...providers: (new (...args: never[]) => object)[]): Promise<TestingModule> {
  return start({ locks: { driver, instance: { id } }, imports: [ScheduleModule.forRoot()], providers });
}

/** As if this fire had been the newest that was run. */
async function lastRan(job: string, instant: number): Promise<void> {
  await driver.facts.put(SCOPE, `last ${job}`, JSON.stringify({ instant, by: 'earlier', done: true }), 3_600_000);
}

describe('JobService.oncePerTick with the scheduled instant', () => {
  const instant = new Date(NEW_YEAR);

  it('runs the work on one instance, which gets its result', async () => {
    const apps = await Promise.all(['a', 'b', 'c'].map((id) => replica(id)));
    const results = await Promise.all(
      apps.map((app, index) => app.get(JobService).oncePerTick('report', instant, () => `run by ${index}`)),
    );
    expect(results.filter((result) => result !== undefined)).toHaveLength(1);
    const later = new Date(NEW_YEAR + 1000);
    expect(await apps[2]!.get(JobService).oncePerTick('report', later, async () => 'later')).toBe('later');
    expect(await apps[1]!.get(JobService).oncePerTick('report', instant, () => 'an earlier one')).toBeUndefined();
    expect(await apps[1]!.get(JobService).oncePerTick('other job', instant, () => 'other')).toBe('other');
  });

  it('passes on what the work throws, and has run it', async () => {
    const jobs = (await replica('a')).get(JobService);
    await expect(jobs.oncePerTick('j', instant, () => Promise.reject(new TypeError('boom')))).rejects.toThrow('boom');
    expect(await jobs.oncePerTick('j', instant, () => 'again')).toBeUndefined();
  });

  it('claims nothing for an application that ends', async () => {
    const [a, b] = [await replica('a'), await replica('b')];
    await a.close();
    expect(await a.get(JobService).oncePerTick('j', instant, () => 'ran')).toBeUndefined();
    expect(await b.get(JobService).oncePerTick('j', instant, () => 'ran')).toBe('ran');
  });

  it('is that of a named registration where that is injected', async () => {
    @Injectable()
    class Reports {
      constructor(
        readonly jobs: JobService,
        @InjectJobService('other') readonly others: JobService,
      ) {}
    }
    const app = await start({
      locks: { driver },
      imports: [DistLockModule.forRoot({ name: 'other' })],
      providers: [Reports],
    });
    const { jobs, others } = app.get(Reports);
    expect(others).not.toBe(jobs);
    expect(await jobs.oncePerTick('j', instant, () => 1)).toBe(1);
    expect(await others.oncePerTick('j', instant, () => 2)).toBe(2);
  });

  it.each<[string, unknown[], string]>([
    ['no name', ['', instant, () => 1], 'JobService.oncePerTick(""): the name of the job must be a string'],
    ['a name that is none', [7, instant, () => 1], 'JobService.oncePerTick(7): the name of the job must be'],
    ['an invalid date', ['j', new Date('x'), () => 1], 'JobService.oncePerTick("j"): the date is invalid.'],
    ['a number', ['j', Date.now(), () => 1], 'JobService.oncePerTick("j"): expected the scheduled instant, as a Date'],
    ['an expression', ['j', '* * * * *', () => 1], 'expected the scheduled instant, as a Date, or the CronJob'],
    ['nothing', ['j', undefined, () => 1], 'expected the scheduled instant, as a Date, or the CronJob'],
    ['no work', ['j', instant], 'JobService.oncePerTick("j"): the last argument is the function to run.'],
  ])('refuses %s', async (_, args, message) => {
    const jobs = (await replica('a')).get(JobService);
    const call = (jobs.oncePerTick as (...all: unknown[]) => Promise<unknown>).apply(jobs, args);
    await expect(call).rejects.toThrow(LockConfigError);
    await expect(call).rejects.toThrow(message);
  });

  it('refuses a driver that keeps no claims', async () => {
    const plain = new Proxy(driver, {
      get: (target, name) => {
        const value = name === 'facts' ? undefined : (Reflect.get(target, name) as unknown);
        return typeof value === 'function' ? (value.bind(target) as unknown) : value;
      },
    });
    const app = await start({ locks: { driver: plain } });
    await expect(app.get(JobService).oncePerTick('j', instant, () => 1)).rejects.toThrow(
      'JobService.oncePerTick("j"): the driver has no fact store to keep claims in.',
    );
  });
});

describe('currentFire()', () => {
  it('is the scheduled instant inside of the work, at any depth, and nothing outside of it', async () => {
    const jobs = (await replica('a')).get(JobService);
    const instant = new Date(NEW_YEAR);
    let late!: Promise<Date | undefined>;
    const inside = await jobs.oncePerTick('outer', instant, async () => {
      await settled();
      const other = new Date(NEW_YEAR + 5000);
      const inner = await jobs.oncePerTick('inner', other, async () => currentFire());
      late = new Promise((resolve) => setTimeout(() => resolve(currentFire()), 50));
      return [currentFire(), inner];
    });
    expect(inside).toEqual([instant, new Date(NEW_YEAR + 5000)]);
    expect(currentFire()).toBeUndefined();
    // Code that was started and not awaited is no part of the run.
    expect(await late).toBeUndefined();
  });

  it.each<[string, () => RunDecorator]>([
    ['@OncePerTick', () => OncePerTick()],
    ['@LeaderOnly({ catchUp })', () => LeaderOnly({ catchUp: true })],
  ])('is that of the tick of a method under %s', async (_, decorator) => {
    @Injectable()
    class Jobs {
      @Cron(CronExpression.EVERY_SECOND)
      @decorator()
      async run(): Promise<void> {
        runs.next(String(currentFire()?.getTime()));
      }
    }
    await replica('a', Jobs);
    const [first, second] = (await nextRuns(2)).map(Number);
    expect([first! % 1000, second! % 1000]).toEqual([0, 0]);
    expect(second!).toBeGreaterThan(first!);
  });
});

describe('JobService with the CronJob that ticks', () => {
  @Injectable()
  class Tenants {
    constructor(
      readonly jobs: JobService,
      readonly registry: SchedulerRegistry,
    ) {}

    add(tenant: string, cronTime: string, isStarted = true): CronJob {
      const job: CronJob = CronJob.from({
        cronTime,
        onTick: (): Promise<void> => this.jobs.oncePerTick(tenant, job, () => this.#run(tenant)),
        start: isStarted,
      });
      this.registry.addCronJob(tenant, job);
      return job;
    }

    async catchUp(tenant: string): Promise<void> {
      await this.jobs.catchUp(tenant, this.registry.getCronJob(tenant), () => this.#run(tenant));
    }

    async #run(tenant: string): Promise<void> {
      runs.next(`${tenant} ${currentFire()?.getTime()}`);
    }
  }

  it('runs each fire of a job that was added at run time once, for its scheduled instant', async () => {
    const apps = await Promise.all(['a', 'b', 'c'].map((id) => replica(id, Tenants)));
    for (const app of apps) {
      app.get(Tenants).add('acme', CronExpression.EVERY_SECOND);
      app.get(Tenants).add('umbrella', CronExpression.EVERY_SECOND);
    }
    const ran = await nextRuns(6);
    await Promise.all(apps.map((app) => app.close()));
    expect(new Set(ran).size).toBe(ran.length);
    for (const run of ran) expect(run).toMatch(/^(acme|umbrella) \d+000$/);
  });

  it('follows the job when that is given another time', async () => {
    const app = await replica('a', Tenants);
    const job = app.get(Tenants).add('acme', YEARLY);
    job.setTime(new CronTime(CronExpression.EVERY_SECOND));
    const [first, second] = (await nextRuns(2)).map((run) => Number(run.split(' ')[1]));
    expect(second! - first!).toBe(1000);
  });

  it.each<[string, (tenants: Tenants) => unknown, number]>([
    ['catches up with the newest fire that nobody ran', (tenants) => tenants.add('acme', YEARLY), 1],
    ['does not catch up with a job that was never started', (tenants) => tenants.add('acme', YEARLY, false), 0],
    ['does not catch up with a job that was stopped', (tenants) => tenants.add('acme', YEARLY).stop(), 0],
  ])('%s', async (_, add, expected) => {
    await lastRan('acme', NEW_YEAR - 2 * YEAR);
    const tenants = (await replica('a', Tenants)).get(Tenants);
    add(tenants);
    await tenants.catchUp('acme');
    await tenants.catchUp('acme');
    expect(seen()).toEqual(expected ? [`acme ${NEW_YEAR}`] : []);
  });

  it('catches up with nothing where a job is new to the store', async () => {
    const tenants = (await replica('a', Tenants)).get(Tenants);
    tenants.add('acme', YEARLY);
    await tenants.catchUp('acme');
    expect(seen()).toEqual([]);
  });
});

describe('a @Cron method under @OncePerTick whose job is changed at run time', () => {
  @Injectable()
  class Jobs {
    @Cron(YEARLY)
    @OncePerTick()
    async first(): Promise<void> {
      runs.next('first');
    }

    @Cron(YEARLY)
    @OncePerTick()
    async second(): Promise<void> {
      runs.next('second');
    }

    @Cron(YEARLY, { name: 'named' })
    @OncePerTick()
    async named(): Promise<void> {
      runs.next('named');
    }
  }

  const everySecond = (): CronTime => new CronTime(CronExpression.EVERY_SECOND);

  it.each([
    [0, 'first'],
    [1, 'second'],
  ])('runs at the new times: job %i without a name', async (index, name) => {
    const looked = vi.spyOn(driver.facts, 'list');
    const app = await replica('a', Jobs);
    // Each method has found its job.
    await vi.waitFor(() => expect(looked.mock.calls.length).toBeGreaterThanOrEqual(3));
    const unnamed = [...app.get(SchedulerRegistry).getCronJobs()].filter(([key]) => key !== 'named');
    unnamed[index]![1].setTime(everySecond());
    expect(await nextRuns(2)).toEqual([name, name]);
  });

  it('runs at the new times: a job with a name', async () => {
    const app = await replica('a', Jobs);
    app.get(SchedulerRegistry).getCronJob('named').setTime(everySecond());
    expect(await nextRuns(2)).toEqual(['named', 'named']);
  });

  it('runs at the times of the job that took the place of one with a name', async () => {
    const app = await replica('a', Jobs);
    const registry = app.get(SchedulerRegistry);
    registry.deleteCronJob('named');
    const onTick = (): Promise<void> => app.get(Jobs).named();
    registry.addCronJob('named', CronJob.from({ cronTime: CronExpression.EVERY_SECOND, onTick, start: true }));
    expect(await nextRuns(2)).toEqual(['named', 'named']);
  });

  it('claims the instants of the new times', async () => {
    const app = await replica('a', Jobs);
    app.get(SchedulerRegistry).getCronJob('named').setTime(everySecond());
    const { events$ } = app.get(LockService);
    const event = await firstValueFrom(events$.pipe(filter(({ type }) => type === 'fire-claimed')));
    expect(event).toMatchObject({ job: 'Jobs.named' });
    expect('instant' in event && event.instant % 1000).toBe(0);
    expect('instant' in event && Math.abs(event.instant - Date.now())).toBeLessThan(60_000);
  });
});

describe('catchUp never runs what was switched off', () => {
  type Off = 'disabled' | 'stopped' | 'deleted' | 'deleted, and another has its expression';

  function jobs(options: { disabled?: boolean }, catchUp: () => RunDecorator): new () => object {
    @Injectable()
    class Jobs {
      @Cron(YEARLY, { name: 'off', ...options })
      @catchUp()
      async off(): Promise<void> {
        runs.next('off');
      }

      /** Control: a job that ticks is caught up with, and not before the other would have been. */
      @Cron(YEARLY, { name: 'on' })
      @catchUp()
      async on(): Promise<void> {
        runs.next('on');
      }

      @Cron(YEARLY, { name: 'plain' })
      plain(): void {}
    }
    return Jobs;
  }

  const switchOff: Record<Off, (registry: SchedulerRegistry) => unknown> = {
    disabled: () => undefined,
    stopped: (registry) => registry.getCronJob('off').stop(),
    deleted: (registry) => registry.deleteCronJob('off'),
    'deleted, and another has its expression': (registry) => registry.deleteCronJob('off'),
  };

  const decorators: [string, () => RunDecorator][] = [
    ['@OncePerTick', () => OncePerTick({ catchUp: true })],
    ['@LeaderOnly', () => LeaderOnly({ catchUp: true })],
  ];

  it.each(
    decorators.flatMap(([name, decorator]) =>
      (Object.keys(switchOff) as Off[]).map((off) => [name, off, decorator] as const),
    ),
  )('%s: a job that is %s', async (_, off, decorator) => {
    for (const job of ['Jobs.off', 'Jobs.on']) await lastRan(job, NEW_YEAR - 2 * YEAR);
    const type = jobs({ disabled: off === 'disabled' }, decorator);
    @Injectable()
    class Operator {
      constructor(private readonly registry: SchedulerRegistry) {}
      onApplicationBootstrap(): void {
        switchOff[off](this.registry);
      }
    }
    const app = await start({
      locks: { driver, instance: { id: 'a' } },
      imports: [ScheduleModule.forRoot()],
      providers: [type, Operator],
    });
    await leading(app);
    expect(await nextRuns(1)).toEqual(['on']);
    await settled();
    expect(seen()).toEqual(['on']);
  });

  it('runs what begins to tick with a delay', async () => {
    await lastRan('Delayed.run', NEW_YEAR - 2 * YEAR);
    @Injectable()
    class Delayed {
      @Cron(YEARLY, { initialDelay: 100 })
      @OncePerTick({ catchUp: true })
      async run(): Promise<void> {
        runs.next('caught up');
      }
    }
    await replica('a', Delayed);
    expect(await nextRuns(1)).toEqual(['caught up']);
  });
});
