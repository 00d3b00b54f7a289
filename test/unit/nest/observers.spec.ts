import { Injectable } from '@nestjs/common';
import { Cron, ScheduleModule } from '@nestjs/schedule';
import {
  type DistLockModuleOptions,
  JobService,
  LeaderElections,
  LeaderService,
  LockConfigError,
  LockService,
  OncePerTick,
} from 'nestjs-dist-lock';
import { MemoryDriver } from 'nestjs-dist-lock/memory';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { compile, knownLeader, leading, start, startError } from '../../support/nest/app.js';
import { RecordingLogger } from '../../support/nest/log.js';

afterEach(() => {
  vi.unstubAllEnvs();
});

const SWITCH = 'DIST_LOCK_OBSERVE_ONLY';

async function replicaAndObserver(locks: DistLockModuleOptions = {}) {
  const driver = new MemoryDriver();
  const logger = new RecordingLogger();
  const observer = await start({
    logger,
    locks: { driver, instance: { id: 'observer' }, observeOnly: true, ...locks },
  });
  const replica = await start({ locks: { driver, instance: { id: 'replica' }, ...locks, observeOnly: false } });
  return { observer, replica, logger };
}

describe('a process that only observes', () => {
  it('does not campaign, by itself or when it is asked to, and sees who leads', async () => {
    const { observer, replica, logger } = await replicaAndObserver();
    const { state } = observer.get(LeaderService);
    expect(state.role).toBe('follower');
    await observer.get(LeaderService).campaign();
    await leading(replica);
    expect(await knownLeader(observer)).toMatchObject({ id: 'replica' });
    await observer.get(LeaderService).campaign();
    expect(observer.get(LeaderService).state.role).toBe('follower');
    await logger.line('log', /^This process only observes/);
  });

  it('is no member, and nobody can hand the leadership over to it', async () => {
    const { observer, replica } = await replicaAndObserver();
    const leader = await leading(replica);
    for (const app of [observer, replica]) {
      expect((await app.get(LeaderService).members()).map(({ id }) => id)).toEqual(['replica']);
    }
    await expect(leader.resign({ to: 'observer' })).rejects.toMatchObject({ code: 'MEMBER_NOT_FOUND' });
  });

  it('takes no part in elections that are made at run time, and in those with options of their own', async () => {
    const { observer, replica } = await replicaAndObserver({ elections: [{ autoCampaign: true, priority: 9 }] });
    const own = observer.get(LeaderElections).create({ name: 'tenant' });
    await leading(replica);
    const other = replica.get(LeaderElections).create({ name: 'tenant' });
    await vi.waitUntil(() => other.isLeader());
    expect(own.isLeader()).toBe(false);
  });

  it('uses locks like all others', async () => {
    const { observer, replica } = await replicaAndObserver();
    const lock = await observer.get(LockService).acquire('k');
    expect(await replica.get(LockService).tryAcquire('k')).toBeNull();
    await lock.release();
    await (await replica.get(LockService).acquire('k')).release();
  });

  it('skips a method under @OncePerTick() also where nothing schedules it', async () => {
    @Injectable()
    class Jobs {
      @Cron('0 0 0 1 1 *')
      @OncePerTick()
      async yearly(): Promise<string | undefined> {
        return 'ran';
      }
    }
    const app = await start({ locks: { observeOnly: true }, providers: [Jobs] });
    expect(await app.get(Jobs).yearly()).toBeUndefined();
  });

  it.each([
    [true, []],
    [false, ['ran', 'ran as well']],
  ])('observeOnly: %s decides about the jobs of @OncePerTick() and JobService', async (observeOnly, expected) => {
    const ran: string[] = [];
    @Injectable()
    class Jobs {
      @Cron('0 0 0 1 1 *')
      @OncePerTick({ catchUp: true })
      async yearly(): Promise<void> {
        ran.push('ran');
      }
    }
    const app = await start({ locks: { observeOnly }, imports: [ScheduleModule.forRoot()], providers: [Jobs] });
    await app.get(Jobs).yearly();
    await app.get(JobService).oncePerTick('row', new Date(), () => ran.push('ran as well'));
    expect(ran).toEqual(expected);
  });
});

describe(SWITCH, () => {
  it.each([
    ['1', undefined, true],
    ['true', undefined, true],
    ['1', false, true],
    ['0', true, true],
    ['0', undefined, false],
    ['false', undefined, false],
    ['', undefined, false],
  ])('=%j and the option %s: %s', async (value, observeOnly, expected) => {
    vi.stubEnv(SWITCH, value);
    const app = await start({ locks: observeOnly === undefined ? {} : { observeOnly } });
    expect((await app.get(LeaderService).members()).length).toBe(expected ? 0 : 1);
  });

  it('=yes is refused', async () => {
    vi.stubEnv(SWITCH, 'yes');
    expect(await startError(compile({}))).toEqual(
      new LockConfigError('DistLockModule.forRoot(): DIST_LOCK_OBSERVE_ONLY=yes: expected 1, or 0.'),
    );
  });
});
