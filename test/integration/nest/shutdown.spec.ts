import { setTimeout } from 'node:timers/promises';
import {
  type BeforeApplicationShutdown,
  Controller,
  type DynamicModule,
  Get,
  Injectable,
  type OnModuleDestroy,
} from '@nestjs/common';
import { Interval, ScheduleModule } from '@nestjs/schedule';
import {
  CurrentLock,
  DistLockModule,
  type DistLockModuleOptions,
  LeaderOnly,
  LeaderService,
  type Lock,
  LockLostError,
  LockService,
  LockServiceClosedError,
  WithLock,
} from 'nestjs-dist-lock';
import { MemoryDriver } from 'nestjs-dist-lock/memory';
import { filter, firstValueFrom } from 'rxjs';
import { beforeEach, describe, expect, it } from 'vitest';
import { compile, leading, serve, start } from '../../support/nest/app.js';
import { RecordingLogger } from '../../support/nest/log.js';
import { Step } from '../../support/nest/step.js';

const LEADER_LEASE = 'dist-lock:e:default';

/** Election timings with which only a push can make somebody else lead within a test. */
const SLOW: DistLockModuleOptions['elections'] = [{ leaseDuration: '60s', renewDeadline: '50s', retryPeriod: '40s' }];

const FOLLOWER: DistLockModuleOptions = { elections: [{ autoCampaign: false }] };

/** What happened, in its order. */
let happened: string[];

class RecordingDriver extends MemoryDriver {
  override release(...args: Parameters<MemoryDriver['release']>): Promise<boolean> {
    happened.push(`release ${args[0].key}`);
    return super.release(...args);
  }
}

let driver: RecordingDriver;
let job: Step;
let request: Step;

beforeEach(async () => {
  happened = [];
  driver = new RecordingDriver();
  // Keeps it open when an application has ended.
  await driver.connect(() => undefined);
  job = new Step();
  request = new Step();
});

@Injectable()
class Reports {
  signal: AbortSignal | undefined;
  runs = 0;

  constructor(private readonly leader: LeaderService) {}

  @Interval('report', 10)
  @LeaderOnly()
  async report(): Promise<void> {
    if (++this.runs > 1) return;
    this.signal = this.leader.assertLeader().signal;
    await job.run();
    happened.push('job ended');
  }
}

@Controller()
class Orders {
  @Get('slow')
  @WithLock('slow')
  async slow(): Promise<string> {
    await request.run();
    happened.push('request ended');
    return 'charged';
  }

  @Get('leader')
  @LeaderOnly()
  async leader(): Promise<string> {
    return 'leader';
  }

  @Get('obedient')
  @WithLock('obedient')
  async obedient(@CurrentLock() lock?: Lock): Promise<never> {
    void request.run();
    return aborted(lock!.signal);
  }
}

/** Rejects with the reason of a signal when it aborts. */
function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    const fail = (): void => reject(signal.reason as Error);
    if (signal.aborted) fail();
    else signal.addEventListener('abort', fail);
  });
}

/** A connection of its own, so that none of them keeps the server open. */
function get(url: string): Promise<Response> {
  return fetch(url, { headers: { connection: 'close' } });
}

async function status(url: string): Promise<number> {
  return (await get(url)).status;
}

describe('a leader that shuts down in the middle of its work', () => {
  const ORDERS: [string, (locks: DynamicModule, schedule: DynamicModule) => DynamicModule[]][] = [
    ['before', (locks, schedule) => [locks, schedule]],
    ['after', (locks, schedule) => [schedule, locks]],
  ];

  it.each(ORDERS)(
    'ends it, hands over, serves its last request and releases (imported %s @nestjs/schedule)',
    async (_order, inOrder) => {
      const { app, url } = await serve({
        locks: { name: 'unused' },
        imports: inOrder(DistLockModule.forRoot({ driver, elections: SLOW }), ScheduleModule.forRoot()),
        providers: [Reports],
        controllers: [Orders],
      });
      const leader = await leading(app);
      const reports = app.get(Reports);
      const successor = await start({ locks: { driver, elections: SLOW } });
      await job.begun;
      expect(await status(`${url}/leader`)).toBe(200);
      const answer = get(`${url}/slow`).then((response) => response.text());
      await request.begun;

      const closed = app.close().then(() => happened.push('closed'));
      await aborted(reports.signal!).catch(() => happened.push('job told to end'));
      expect(leader.isLeader()).toBe(false);
      expect(await status(`${url}/leader`)).toBe(503);
      const { runs } = reports;
      await reports.report();
      expect(reports.runs).toBe(runs);
      expect(await driver.inspect(LEADER_LEASE)).not.toBeNull();
      expect(successor.get(LeaderService).isLeader()).toBe(false);

      job.end();
      await leading(successor);
      happened.push('successor leads');
      request.end();
      expect(await answer).toBe('charged');
      await closed;
      expect(await driver.inspect('dist-lock:l:slow')).toBeNull();
      expect(happened).toEqual([
        'job told to end',
        'job ended',
        `release ${LEADER_LEASE}`,
        'successor leads',
        'request ended',
        'release dist-lock:l:slow',
        'closed',
      ]);
      expect(leader.state.role).toBe('stopped');
    },
  );

  it('waits for requests to a leader-only class as for any leader work', async () => {
    @LeaderOnly()
    @Controller()
    class Admin {
      @Get('admin')
      async work(): Promise<string> {
        await request.run();
        happened.push('request ended');
        return 'worked';
      }
    }
    const { app, url } = await serve({ locks: { driver }, controllers: [Admin] });
    const leader = await leading(app);
    const { signal } = leader.assertLeader();
    const answer = get(`${url}/admin`).then((response) => response.text());
    await request.begun;
    const closed = app.close();
    await aborted(signal).catch(() => happened.push('told to end'));
    expect(await status(`${url}/admin`)).toBe(503);
    request.end();
    expect(await answer).toBe('worked');
    await closed;
    expect(happened).toEqual(['told to end', 'request ended', `release ${LEADER_LEASE}`]);
  });

  it('hands over also when the work fails', async () => {
    const app = await start({ locks: { driver } });
    const leader = await leading(app);
    const failing = leader.runAsLeader(async ({ signal }) => aborted(signal));
    const closed = app.close();
    await expect(failing).rejects.toMatchObject({ code: 'NOT_LEADER' });
    await closed;
    expect(await driver.inspect(LEADER_LEASE)).toBeNull();
  });

  it('keeps the lease for its TTL where the options say so', async () => {
    const app = await start({ locks: { driver, elections: [{ releaseOnShutdown: false }] } });
    await leading(app);
    await app.close();
    expect(happened).toEqual([]);
    expect(await driver.inspect(LEADER_LEASE)).not.toBeNull();
  });
});

describe('a lock that is held at shutdown', () => {
  it('is waited for, and released', async () => {
    const app = await start({ locks: { driver, ...FOLLOWER } });
    const work = app.get(LockService).withLock('k', () => request.run());
    await request.begun;
    const closed = app.close().then(() => happened.push('closed'));
    request.end();
    await Promise.all([work, closed]);
    expect(happened).toEqual(['release dist-lock:l:k', 'closed']);
  });

  it('is released also when its code fails', async () => {
    const app = await start({ locks: { driver, ...FOLLOWER } });
    const failed = new Error('failed');
    const work = app.get(LockService).withLock('k', async () => {
      await request.run();
      throw failed;
    });
    await request.begun;
    const closed = app.close();
    request.end();
    await expect(work).rejects.toBe(failed);
    await closed;
    expect(happened).toContain('release dist-lock:l:k');
  });

  it('lets its code take further locks, while others are refused', async () => {
    const app = await start({ locks: { driver, ...FOLLOWER } });
    const locks = app.get(LockService);
    const work = locks.withLock('k', async () => {
      await request.run();
      return locks.withLock('inner', () => 'done');
    });
    await request.begun;
    const contended = firstValueFrom(locks.events$.pipe(filter(({ type }) => type === 'contended')));
    const waiting = locks.acquire('k');
    await contended;
    const closed = app.close();
    await expect(waiting).rejects.toThrow(LockServiceClosedError);
    await expect(locks.acquire('late')).rejects.toThrow(LockServiceClosedError);
    request.end();
    expect(await work).toBe('done');
    await closed;
  });
});

// Rule S8 of docs/internals/safety.md.
describe('code that does not end within the grace period', () => {
  const IMPATIENT: DistLockModuleOptions = { shutdown: { grace: '300ms' } };

  it('sees its signal abort, and its lock is left to its TTL', async () => {
    const app = await start({ locks: { driver, ...IMPATIENT } });
    let lock: Lock | undefined;
    const work = app.get(LockService).withLock('k', async (held) => {
      lock = held;
      await request.run();
    });
    await request.begun;
    expect(lock!.signal.aborted).toBe(false);
    await app.close();
    expect(lock!.held).toBe(false);
    expect(lock!.signal.reason).toBeInstanceOf(LockLostError);
    expect(lock!.signal.reason).toMatchObject({
      reason: 'shutdown',
      message: expect.stringMatching(/was given up because the shutdown grace period ended/),
    });
    request.end();
    await work;
    expect(await driver.inspect('dist-lock:l:k')).toMatchObject({ holder: lock!.holder });
    expect(happened.filter((event) => event.endsWith(':k'))).toEqual([]);
  });

  it('keeps its leadership from others until its TTL, and is reported', async () => {
    const logger = new RecordingLogger();
    const app = await start({ locks: { driver, ...IMPATIENT }, logger });
    const leader = await leading(app);
    const work = leader.runAsLeader(() => job.run());
    await job.begun;
    await app.close();
    expect(await driver.inspect(LEADER_LEASE)).not.toBeNull();
    expect(happened).toEqual([]);
    expect(logger.texts('error')).toEqual([
      'Leader work of election "default" still runs 300 ms after its term ended. This instance does not campaign ' +
        'before it has ended: let it obey its AbortSignal.',
    ]);
    job.end();
    await work;
  });

  it('has one period for leader work and locks together', async () => {
    const app = await start({ locks: { driver, shutdown: { grace: '1s' } } });
    const leader = await leading(app);
    const leaderWork = leader.runAsLeader(() => setTimeout(700));
    const lock = await app.get(LockService).acquire('k');
    const began = performance.now();
    const closed = app.close();
    await aborted(lock.signal).catch(() => undefined);
    const took = performance.now() - began;
    expect(took).toBeGreaterThan(990);
    expect(took).toBeLessThan(1400);
    await Promise.all([leaderWork, closed]);
  });

  it('sees its signal abort also where the HTTP server waits for it', async () => {
    const { app, url } = await serve({ locks: { driver, ...IMPATIENT }, controllers: [Orders] });
    const answer = status(`${url}/obedient`);
    await request.begun;
    await app.close();
    expect(await answer).toBe(409);
  });
});

describe('shutting down', () => {
  it('works where the application was compiled and never initialised', async () => {
    const app = await compile({ locks: { driver }, providers: [Reports], imports: [ScheduleModule.forRoot()] });
    await app.close();
    expect(happened).toEqual([]);
    await expect(app.get(LockService).acquire('k')).rejects.toThrow(LockServiceClosedError);
  });

  it('gives back what was locked without an initialisation', async () => {
    const app = await compile({ locks: { driver } });
    expect(await app.get(LockService).withLock('k', () => 'done')).toBe('done');
    await app.close();
    expect(happened).toEqual(['release dist-lock:l:k']);
  });

  it('may be asked for twice, at once and again', async () => {
    const app = await start({ locks: { driver } });
    await leading(app);
    await Promise.all([app.close(), app.close()]);
    await app.close();
    expect(happened).toEqual([`release ${LEADER_LEASE}`]);
  });

  it("is not stopped by a hook of the user's that throws", async () => {
    @Injectable()
    class Broken implements OnModuleDestroy {
      onModuleDestroy(): void {
        throw new Error('broken hook');
      }
    }
    const app = await start({ locks: { driver }, providers: [Broken] });
    await leading(app);
    await app.close().catch(() => undefined);
    expect(happened).toEqual([`release ${LEADER_LEASE}`]);
  });

  it("leaves the locks to the user's own hooks until the end", async () => {
    @Injectable()
    class Tidy implements OnModuleDestroy, BeforeApplicationShutdown {
      @WithLock('tidy')
      async onModuleDestroy(): Promise<void> {
        happened.push('onModuleDestroy');
      }

      @WithLock('tidy')
      async beforeApplicationShutdown(): Promise<void> {
        happened.push('beforeApplicationShutdown');
      }
    }
    const app = await start({ locks: { driver, ...FOLLOWER }, providers: [Tidy] });
    await app.close();
    expect(happened).toEqual([
      'onModuleDestroy',
      'release dist-lock:l:tidy',
      'beforeApplicationShutdown',
      'release dist-lock:l:tidy',
    ]);
  });

  it('completes what the services publish', async () => {
    const app = await start({ locks: { driver } });
    const leader = await leading(app);
    const states: string[] = [];
    leader.state$.subscribe({ next: ({ role }) => states.push(role), complete: () => states.push('complete') });
    const events = firstValueFrom(app.get(LockService).events$.pipe(filter(({ type }) => type === 'lost')), {
      defaultValue: 'complete',
    });
    await app.close();
    expect(states).toEqual(['leader', 'stepping-down', 'stopped', 'complete']);
    expect(await events).toBe('complete');
  });
});
