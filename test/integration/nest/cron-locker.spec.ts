import { Injectable } from '@nestjs/common';
import { Cron, CronExpression, type CronOptions, ScheduleModule, SchedulerRegistry } from '@nestjs/schedule';
import type { TestingModule } from '@nestjs/testing';
import { CronTime } from 'cron';
import { DistLockCronLocker, LockConfigError, LockService } from 'nestjs-dist-lock';
import { MemoryDriver } from 'nestjs-dist-lock/memory';
import { filter, firstValueFrom, ReplaySubject, take, toArray } from 'rxjs';
import { beforeEach, describe, expect, it } from 'vitest';
import { start } from '../../support/nest/app.js';

/** The interface of @nestjs/schedule, as it stands on its main branch. */
interface CronLocker {
  tryAcquire(key: string, ttlMs: number): Promise<boolean>;
  release?(key: string): Promise<void>;
}

const YEARLY = '0 0 0 1 1 *';
const NEW_YEAR = new Date(new Date().getFullYear(), 0, 1).getTime();
const TTL = 60_000;

/** What a coming version does around a method with `distributed: true`. */
async function distributed(locker: CronLocker, key: string, method: () => Promise<void>): Promise<void> {
  if (!(await locker.tryAcquire(key, TTL))) return;
  try {
    await method();
  } finally {
    await locker.release?.(key);
  }
}

let driver: MemoryDriver;
let runs: ReplaySubject<string>;

beforeEach(async () => {
  driver = new MemoryDriver();
  // Open before the first application is.
  await driver.connect(() => undefined);
  runs = new ReplaySubject();
});

const lockKey = (key: string): CronOptions => ({ lockKey: key, distributed: true }) as CronOptions;

@Injectable()
class Jobs {
  constructor(private readonly locker: DistLockCronLocker) {}

  @Cron(CronExpression.EVERY_SECOND, { name: 'named' })
  named(): Promise<void> {
    return distributed(this.locker, 'named', async () => runs.next(`named ${Date.now()}`));
  }

  @Cron(YEARLY)
  unnamed(): Promise<void> {
    return distributed(this.locker, 'Jobs.unnamed', async () => runs.next('unnamed'));
  }

  @Cron(YEARLY, { name: 'other-name', ...lockKey('nightly') })
  keyed(): Promise<void> {
    return distributed(this.locker, 'nightly', async () => runs.next('keyed'));
  }
}

function replica(id: string): Promise<TestingModule> {
  return start({ locks: { driver, instance: { id } }, imports: [ScheduleModule.forRoot()], providers: [Jobs] });
}

function seen(): string[] {
  const all: string[] = [];
  runs.subscribe((run) => all.push(run)).unsubscribe();
  return all;
}

describe('DistLockCronLocker', () => {
  it('is injected into what configures the scheduler', async () => {
    const app = await start({
      locks: { driver },
      imports: [
        ScheduleModule.forRootAsync({
          inject: [DistLockCronLocker],
          useFactory: (locker: CronLocker) => ({ distributed: { locker } }) as object,
        }),
      ],
      providers: [Jobs],
    });
    await app.get(Jobs).unnamed();
    expect(seen()).toContain('unnamed');
  });

  it('lets each tick run on one replica, although each run is shorter than a blink', async () => {
    const claims: number[] = [];
    for (const app of await Promise.all(['a', 'b', 'c'].map(replica))) {
      app.get(LockService).events$.subscribe((event) => {
        if (event.type === 'fire-claimed' && event.job === 'named') claims.push(event.instant);
      });
    }
    await firstValueFrom(runs.pipe(take(4), toArray()));
    expect(claims.length).toBeGreaterThanOrEqual(4);
    expect(new Set(claims).size).toBe(claims.length);
    for (const instant of claims) expect(instant % 1000).toBe(0);
  });

  it.each([
    ['unnamed', 'Jobs.unnamed'],
    ['keyed', 'nightly'],
  ] as const)('claims the scheduled instant of the job behind the key: %s', async (method, job) => {
    const [a, b] = [await replica('a'), await replica('b')];
    const claimed = firstValueFrom(
      a.get(LockService).events$.pipe(filter((event) => event.type === 'fire-claimed' && event.job === job)),
    );
    await a.get(Jobs)[method]();
    expect(await claimed).toMatchObject({ job, instant: NEW_YEAR });
    await b.get(Jobs)[method]();
    await a.get(Jobs)[method]();
    expect(seen().filter((run) => run === method)).toEqual([method]);
  });

  it('follows a job that is given another time', async () => {
    const app = await replica('a');
    app.get(SchedulerRegistry).getCronJob('other-name').setTime(new CronTime(CronExpression.EVERY_SECOND));
    const keyed = runs.pipe(
      filter((run) => run === 'keyed'),
      take(2),
      toArray(),
    );
    expect(await firstValueFrom(keyed)).toEqual(['keyed', 'keyed']);
  });

  it('keeps the claim when the run is released, and also when it is not', async () => {
    const locker: CronLocker = (await replica('a')).get(DistLockCronLocker);
    expect(await locker.tryAcquire('nightly', 50)).toBe(true);
    expect(await locker.tryAcquire('nightly', 50)).toBe(false);
    await locker.release!('nightly');
    await locker.release!('nightly');
    await locker.release!('never acquired');
    expect(await locker.tryAcquire('nightly', 50)).toBe(false);
  });

  it('makes a shutdown wait for a run, until it is released', async () => {
    const app = await replica('a');
    const locker = app.get(DistLockCronLocker);
    expect(await locker.tryAcquire('nightly', TTL)).toBe(true);
    let isClosed = false;
    const closed = app.close().then(() => (isClosed = true));
    for (let turn = 0; turn < 50; turn++) await new Promise(setImmediate);
    expect(isClosed).toBe(false);
    await locker.release('nightly');
    await closed;
  });

  it('makes a shutdown wait for no longer than the TTL of a run that nobody releases', async () => {
    const app = await replica('a');
    expect(await app.get(DistLockCronLocker).tryAcquire('nightly', 50)).toBe(true);
    const began = performance.now();
    await app.close();
    // The grace period is 10 s.
    expect(performance.now() - began).toBeLessThan(5000);
  });

  it('claims nothing for an application that ends', async () => {
    const [a, b] = [await replica('a'), await replica('b')];
    await a.close();
    expect(
      await a
        .get(DistLockCronLocker)
        .tryAcquire('nightly', TTL)
        .catch(() => false),
    ).toBe(false);
    expect(await b.get(DistLockCronLocker).tryAcquire('nightly', 50)).toBe(true);
  });

  it('refuses a key whose schedule nobody knows', async () => {
    const locker = (await replica('a')).get(DistLockCronLocker);
    const call = locker.tryAcquire('unknown', TTL);
    await expect(call).rejects.toThrow(LockConfigError);
    await expect(call).rejects.toThrow('no @Cron() method has the key "unknown"');
  });

  it('control: a lock that is released at once lets a tick run again', async () => {
    const app = await replica('a');
    const locks = app.get(LockService);
    const locker: CronLocker = {
      tryAcquire: async (key, ttl) => {
        await using lock = await locks.tryAcquire(key, { ttl });
        return lock !== null;
      },
    };
    await distributed(locker, 'short', async () => runs.next('short'));
    await distributed(locker, 'short', async () => runs.next('short'));
    expect(seen().filter((run) => run === 'short')).toHaveLength(2);
  });
});
