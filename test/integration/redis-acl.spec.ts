import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { Redis } from 'ioredis';
import {
  type Claim,
  DistLockModule,
  type DriverEvent,
  LeaderService,
  LockConfigError,
  type LockEvent,
  LockService,
} from 'nestjs-dist-lock';
import { RedisDriver } from 'nestjs-dist-lock/redis';
import { filter, firstValueFrom } from 'rxjs';
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { firesScope, membersScope } from '../../lib/core/store-key.js';
import { scripts } from '../../lib/drivers/redis/scripts/scripts.generated.js';
import { documentedUser } from '../package/pages.js';
import { request } from '../support/engine/engine.js';
import { RealEngine } from '../support/engine/real-engine.js';
import { useRedis } from '../support/servers/use-redis.js';

// The user that the documentation tells people to create, word for word.
const { name, password, namespace, rules } = documentedUser();

/** The operations in which a driver needs something, with what they are called in a failing test. */
type Operation =
  | 'acquire'
  | 'refusal'
  | 'queue'
  | 'renew'
  | 'heartbeat'
  | 'reserve'
  | 'inspect'
  | 'cancel'
  | 'hand over'
  | 'release'
  | 'prefer'
  | 'put'
  | 'list'
  | 'remove'
  | 'advance';

/** What each permission is for: without it that operation is refused. */
const NEEDED: { permission: string; removal: string[]; operation: Operation }[] = [
  { permission: '+evalsha', removal: ['-evalsha'], operation: 'acquire' },
  { permission: '+eval', removal: ['-eval'], operation: 'acquire' },
  { permission: '+get', removal: ['-get'], operation: 'acquire' },
  { permission: '+set', removal: ['-set'], operation: 'acquire' },
  { permission: '+time', removal: ['-time'], operation: 'acquire' },
  { permission: '+exists', removal: ['-exists'], operation: 'acquire' },
  { permission: '+pttl', removal: ['-pttl'], operation: 'refusal' },
  { permission: '+llen', removal: ['-llen'], operation: 'refusal' },
  { permission: '+hset', removal: ['-hset'], operation: 'queue' },
  { permission: '+rpush', removal: ['-rpush'], operation: 'queue' },
  { permission: '+pexpire', removal: ['-pexpire'], operation: 'renew' },
  { permission: '+hdel', removal: ['-hdel'], operation: 'cancel' },
  { permission: '+lrem', removal: ['-lrem'], operation: 'cancel' },
  { permission: '+lpop', removal: ['-lpop'], operation: 'hand over' },
  { permission: '+hget', removal: ['-hget'], operation: 'hand over' },
  { permission: '+del', removal: ['-del'], operation: 'release' },
  { permission: '+lrange', removal: ['-lrange'], operation: 'prefer' },
  { permission: '+lpush', removal: ['-lpush'], operation: 'prefer' },
  { permission: '+hlen', removal: ['-hlen'], operation: 'put' },
  { permission: '+get', removal: ['-get'], operation: 'renew' },
  { permission: '+hget', removal: ['-hget'], operation: 'heartbeat' },
  { permission: '+hgetall', removal: ['-hgetall'], operation: 'list' },
  { permission: `~{${namespace}:*`, removal: ['resetkeys', '~{another:*'], operation: 'acquire' },
];

/** What makes waiting shorter: nothing is refused without. */
const HINTS: { permission: string; removal: string[]; told: boolean; listens: boolean }[] = [
  { permission: '+publish', removal: ['-publish'], told: false, listens: true },
  { permission: `&${namespace}:i:*`, removal: ['resetchannels', '&another:i:*'], told: false, listens: false },
  { permission: '+pubsub|numsub', removal: ['-pubsub'], told: true, listens: true },
];

const { server, admin } = useRedis();

beforeEach(async () => {
  await admin.script('FLUSH');
});

afterEach(async () => {
  await admin.acl('DELUSER', name);
});

async function allow(...changes: string[]): Promise<void> {
  await admin.acl('SETUSER', name, ...rules, ...changes);
  await admin.acl('LOG', 'RESET');
}

function newDriver(): RedisDriver {
  return new RedisDriver({ url: `redis://${name}:${password}@127.0.0.1:${server.port}` });
}

/** What the server refused to this user; a client does without telling its name and version. */
async function refusals(): Promise<string[]> {
  const log = (await admin.acl('LOG')) as unknown[][];
  return log.map((entry) => String(entry[entry.indexOf('object') + 1])).filter((object) => !object.includes('setinfo'));
}

/** Runs every operation of a driver; which were refused, and whether a waiter and a watcher were told. */
async function tryEverything(): Promise<{ refused: Operation[]; told: boolean; watched: boolean }> {
  const driver = newDriver();
  const events: DriverEvent[] = [];
  const listener = (event: DriverEvent): void => void events.push(event);
  await driver.connect(listener);
  onTestFinished(() => driver.close(listener));

  const claim = (key = 'key'): Claim => ({
    key: `${namespace}:l:${key}`,
    holder: randomUUID(),
    ttl: 10_000,
    instance: 'test',
    metadata: {},
  });
  const [holder, waiter, quitter] = [claim(), claim(), claim()];
  const { facts } = driver;
  const scope = membersScope(namespace, 'default');
  let watched = false;
  const endWatch = facts.watch(scope, () => (watched = true));
  const operations: Record<Operation, () => Promise<unknown>> = {
    acquire: () => driver.acquire(holder, 'try'),
    refusal: () => driver.acquire(claim(), 'try'),
    queue: async () => {
      await driver.acquire(waiter, 'queue');
      await driver.acquire(quitter, 'queue');
    },
    renew: () => driver.renew([holder]),
    heartbeat: () => driver.keepPlaces([{ ...waiter, behind: 0 }]),
    reserve: () => driver.reserve(holder),
    inspect: () => driver.inspect(holder.key),
    cancel: () => driver.cancel(quitter),
    'hand over': () => driver.release(holder),
    release: () => driver.release((told() && waiter) || holder),
    prefer: async () => {
      const [leaving, ...waiting] = [claim('other'), claim('other'), { ...claim('other'), instance: 'preferred' }];
      await driver.acquire(leaving, 'try');
      for (const next of waiting) await driver.acquire(next, 'queue');
      await driver.release(leaving, 'preferred');
    },
    put: () => facts.put(scope, 'id', 'value', 10_000),
    list: () => facts.list(scope),
    remove: () => facts.remove(scope, 'id'),
    advance: () => facts.advance(firesScope(namespace), 'job', 1, 'by', 10_000),
  };
  const told = (): boolean => events.some(({ type }) => type === 'granted');
  const arrivals: Partial<Record<Operation, () => boolean>> = { 'hand over': told, put: () => watched };
  const refused: Operation[] = [];
  for (const [operation, run] of Object.entries(operations) as [Operation, () => Promise<unknown>][]) {
    try {
      await run();
    } catch (error) {
      expect(error, operation).toBeInstanceOf(LockConfigError);
      expect((error as Error).message, operation).toContain('docs/drivers/redis.md');
      refused.push(operation);
    }
    const hasArrived = arrivals[operation] ?? (() => true);
    for (let wait = 0; wait < 20 && !hasArrived(); wait++) await sleep(10);
  }
  endWatch();
  return { refused, told: told(), watched };
}

async function startInstance(
  id: string,
): Promise<{ locks: LockService; leader: LeaderService; stop(): Promise<void> }> {
  @Module({
    imports: [
      DistLockModule.forRoot({
        driver: newDriver(),
        failFast: true,
        namespace,
        instance: { id },
        elections: [{ leaseDuration: '5s' }],
      }),
    ],
  })
  class AppModule {}
  const app = await NestFactory.createApplicationContext(AppModule, { logger: false, abortOnError: false });
  return { locks: app.get(LockService), leader: app.get(LeaderService), stop: () => app.close() };
}

async function leads(leader: LeaderService): Promise<void> {
  await firstValueFrom(leader.isLeader$.pipe(filter(Boolean)));
}

describe('a Redis user with the permissions of the documentation', () => {
  it('can do everything, and asks for nothing else', async () => {
    await allow();
    const first = await startInstance('first');
    await leads(first.leader);
    const second = await startInstance('second');

    const events: LockEvent[] = [];
    first.locks.events$.subscribe((event) => events.push(event));
    const lock = await first.locks.acquire('key', { ttl: '300ms' });
    const waiting = second.locks.acquire('key');
    while (!events.some(({ type }) => type === 'renewed')) await sleep(10);
    expect(await second.locks.describe('key')).toMatchObject({ instance: 'first', waiters: 1 });
    await lock.release();
    const successor = await waiting;
    expect(successor.fencingToken).toBeGreaterThan(lock.fencingToken);
    await successor.release();

    await first.stop();
    await leads(second.leader);
    await second.stop();
    expect(await tryEverything()).toEqual({ refused: [], told: true, watched: true });
    expect(await refusals()).toEqual([]);
  });

  it('can touch nothing else', async () => {
    await allow();
    const stranger = new Redis(server.url, { username: name, password });
    onTestFinished(() => stranger.disconnect());
    await expect(stranger.get('{another:l:key}')).rejects.toThrow('NOPERM');
    await expect(stranger.publish('another:i:inbox', '')).rejects.toThrow('NOPERM');
    await expect(stranger.keys('*')).rejects.toThrow('NOPERM');
    await expect(stranger.flushall()).rejects.toThrow('NOPERM');
  });

  it('is described completely below', () => {
    const known = [...NEEDED, ...HINTS].map(({ permission }) => permission);
    const inReadme = rules.filter((rule) => /^[~&+]/.test(rule));
    expect([...new Set(known), '+subscribe', '+unsubscribe', '+info'].sort()).toEqual([...inReadme].sort());
  });
});

describe('a Redis user without', () => {
  it.each(NEEDED)('$permission is refused: $operation', async ({ removal, operation }) => {
    await allow(...removal);
    const { refused } = await tryEverything();
    expect(refused).toContain(operation);
    expect(await refusals()).not.toEqual([]);
  });

  it.each(HINTS)('$permission gets its locks, whether waiters are told or not', async ({ removal, told, listens }) => {
    await allow(...removal);
    expect(await tryEverything()).toEqual({ refused: [], told, watched: listens });
    expect(await refusals()).not.toEqual([]);
  });

  it.each(HINTS)(
    '$permission waits in line, and is warned once, by that name',
    async ({ permission, removal, listens }) => {
      await allow(...removal);
      const engines = ['a', 'b', 'c'].map((id) => new RealEngine(newDriver(), id));
      for (const { manager } of engines) onTestFinished(() => manager.close(0));
      const wish = request({ storeKey: `${namespace}:l:k`, ttl: 3000 });
      const order: string[] = [];
      let inside = 0;
      const take = async ({ manager }: RealEngine): Promise<void> => {
        await using lock = await manager.acquire(wish);
        expect(++inside).toBe(1);
        order.push(manager.instance);
        await sleep(20);
        expect(lock.held).toBe(true);
        inside--;
      };
      const [first, ...others] = engines as [RealEngine, ...RealEngine[]];
      const held = await first.manager.acquire(wish);
      const waiting: Promise<void>[] = [];
      for (const [index, engine] of others.entries()) {
        waiting.push(take(engine));
        await expect.poll(async () => (await first.manager.inspect(wish.storeKey))!.waiters).toBe(index + 1);
      }
      await held.release();
      await Promise.all(waiting);
      // One that does not listen is passed by, and asks again.
      expect(listens ? order : order.toSorted()).toEqual(['b', 'c']);
      expect(await admin.exists(`{${wish.storeKey}}`, `{${wish.storeKey}}:q`, `{${wish.storeKey}}:w`)).toBe(0);
      for (const engine of engines) {
        const warning = await engine.warning(/lacks permissions/);
        expect(warning.split(/[ ,]+/)).toContain(permission);
        expect(engine.warnings.filter((other) => other.includes('lacks permissions'))).toEqual([warning]);
      }
    },
  );

  it.each(HINTS.filter(({ permission }) => permission.startsWith('+')))(
    '$permission is warned on a server that cannot tell what it refuses, as before Redis 7',
    async ({ permission, removal }) => {
      vi.spyOn(scripts.permissions, 'lua', 'get').mockReturnValue('return nil' as never);
      onTestFinished(() => void vi.restoreAllMocks());
      await allow(...removal);
      const engine = new RealEngine(newDriver());
      onTestFinished(() => engine.manager.close(0));
      await (await engine.manager.acquire(request({ storeKey: `${namespace}:l:k` }))).release();
      expect(await engine.warning(/lacks permissions/)).toMatch(
        new RegExp(`Grant \\${permission.replace('|', '\\|')}[, ]`),
      );
      expect(engine.warnings).toHaveLength(1);
    },
  );

  it('+pubsub|numsub passes a lease to one that waits and is gone, for four heartbeats', async () => {
    await allow('-pubsub');
    const [holder, dead] = [newDriver(), newDriver()];
    const listener = (): void => undefined;
    for (const driver of [holder, dead]) await driver.connect(listener);
    onTestFinished(() => holder.close(listener));
    const claims = ['holder', 'dead'].map((instance): Claim => {
      return { key: `${namespace}:l:k`, holder: randomUUID(), ttl: 30_000, instance, metadata: {} };
    }) as [Claim, Claim];
    await holder.acquire(claims[0], 'try');
    await dead.acquire(claims[1], 'queue');
    await dead.close(listener);
    await expect.poll(() => admin.pubsub('CHANNELS', `${namespace}:i:*`)).toHaveLength(1);
    await holder.release(claims[0]);
    const record = await holder.inspect(claims[0].key);
    expect(record).toMatchObject({ holder: claims[1].holder });
    expect(record!.remaining).toBeLessThanOrEqual(4000);
  });

  it('+subscribe gets its locks, but no waiter is told of a release, and no watcher of a change', async () => {
    await allow('-subscribe');
    expect(await tryEverything()).toEqual({ refused: [], told: false, watched: false });
    expect(await refusals()).toContain('subscribe');
  });

  it('+unsubscribe can do everything, but goes on to get what nobody watches any more', async () => {
    await allow('-unsubscribe');
    expect(await tryEverything()).toEqual({ refused: [], told: true, watched: true });
    await expect.poll(refusals).toContain('unsubscribe');
  });

  it('+info can do everything, but ioredis warns, and does not wait until the server has loaded its data', async () => {
    const warn = vi.spyOn(console, 'warn').mockImplementation(() => {});
    onTestFinished(() => warn.mockRestore());
    await allow('-info');
    expect(await tryEverything()).toEqual({ refused: [], told: true, watched: true });
    expect(warn).toHaveBeenCalledWith(expect.stringContaining('INFO command fails'));
    expect(await refusals()).toContain('info');
  });
});
