import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { type Claim, type DriverEvent, DriverUnavailableError, LockConfigError } from 'nestjs-dist-lock';
import { RedlockDriver, type RedlockServer } from 'nestjs-dist-lock/redis';
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { SystemClock } from '../../lib/core/clock.js';
import { newHolder } from '../../lib/core/ids.js';
import { bucketOf, marksKey } from '../../lib/drivers/redlock/lease-text.js';
import { scripts } from '../../lib/drivers/redlock/scripts/scripts.generated.js';
import { LockManager } from '../../lib/locks/lock-manager.js';
import { documentedUser } from '../package/pages.js';
import { request } from '../support/engine/engine.js';
import { RedisServer } from '../support/servers/redis-server.js';
import { useAdmins, useRedisServers } from '../support/servers/use-redis.js';

const KEY = 'test:l:k';

const servers = useRedisServers(5);
const admins = useAdmins(servers);
/** What a test stopped or killed goes on after it. */
const mend: (() => unknown)[] = [];
beforeEach(() => void mend.splice(0));
afterEach(async () => {
  for (const repair of mend.splice(0)) await repair();
  // By its answer a server that was stopped has read what others sent to it in the meantime.
  await Promise.all(admins.map((admin) => admin.ping()));
  await Promise.all(admins.map((admin) => admin.flushall()));
});

async function pause(...indices: number[]): Promise<void> {
  for (const index of indices) servers[index]!.pause();
  mend.push(() => indices.forEach((index) => servers[index]!.resume()));
}

async function kill(...indices: number[]): Promise<void> {
  await Promise.all(indices.map((index) => servers[index]!.kill()));
  mend.push(() => Promise.all(indices.map((index) => servers[index]!.restart())));
}

async function open(
  choice: readonly RedlockServer[] = servers.map(({ url }) => url),
): Promise<RedlockDriver & { events: DriverEvent[] }> {
  const driver = Object.assign(new RedlockDriver({ servers: choice }), { events: [] as DriverEvent[] });
  const listener = (event: DriverEvent): void => void driver.events.push(event);
  onTestFinished(() => driver.close(listener));
  await driver.connect(listener);
  return driver;
}

function claim(change: Partial<Claim> = {}): Claim {
  return { key: KEY, holder: newHolder(), ttl: 20_000, instance: 'test', metadata: {}, ...change };
}

async function granted(driver: RedlockDriver, wish = claim()): Promise<{ claim: Claim; token: number }> {
  const answer = await driver.acquire(wish, 'try');
  expect(answer.status).toBe('granted');
  return { claim: wish, token: answer.status === 'granted' ? answer.fencingToken : Number.NaN };
}

const setMark = (admin: Redis, key: string, token: number): Promise<unknown> =>
  admin.hset(marksKey({ key }), String(bucketOf({ key })), String(token));

const votes = async (key = KEY): Promise<(string | undefined)[]> =>
  Promise.all(admins.map(async (admin) => (await admin.get(`{${key}}`))?.split(' ')[0]));

const until = (check: () => Promise<void> | void): Promise<void> => vi.waitFor(check, { timeout: 5000, interval: 5 });

describe('the servers of a RedlockDriver', () => {
  const url = 'redis://localhost:6379';
  it.each([
    [[], 'must be an odd number of at least 3; there are 0. For one server use RedisDriver'],
    [[url], 'there is 1. For one server use RedisDriver'],
    [[url, url, url, url], 'there are 4. 4 servers bear the loss of no more than 3 do: remove one, or add one.'],
    [Array.from({ length: 33 }, () => url), '`servers` has 33 entries; give it 31 at most, 5 are usual.'],
    [undefined, 'must be an array of URLs'],
    [[url, url, 'localhost:6379'], "servers[2]: `url` must look like 'redis://localhost:6379'"],
    [[url, { host: 'a', keyPrefix: 'x' }, url], 'servers[1]: `keyPrefix` is not supported'],
    [[url, url, undefined], 'servers[2]: expected a URL'],
  ])('%j: %s', (choice, message) => {
    expect(() => new RedlockDriver({ servers: choice as string[] })).toThrow(LockConfigError);
    expect(() => new RedlockDriver({ servers: choice as string[] })).toThrow(message);
  });

  it('are URLs, options or clients', async () => {
    const client = new Redis(servers[2]!.url);
    onTestFinished(() => client.disconnect());
    const driver = await open([servers[0]!.url, { host: '127.0.0.1', port: servers[1]!.port }, client]);
    await granted(driver);
    expect(client.status).toBe('ready');
  });

  it('must not be one and the same, whatever they are called', async () => {
    const [one, two] = servers as [RedisServer, RedisServer];
    const choice = [one.url, two.url, `redis://localhost:${one.port}/1`];
    await expect(open(choice)).rejects.toThrow(
      `127.0.0.1:${one.port} and localhost:${one.port} are one and the same server, whose vote would count twice.`,
    );
  });

  it('are found to be one and the same later, too: nothing is granted from then on', async () => {
    const [one, two, three] = servers as [RedisServer, RedisServer, RedisServer];
    // A name that comes to stand for another server.
    let target = three.port;
    const sockets = new Set<Socket>();
    const name = createServer((socket) => {
      const upstream = connect(target, '127.0.0.1');
      for (const end of [socket, upstream]) sockets.add(end.on('error', () => undefined));
      socket.pipe(upstream).pipe(socket);
    }).listen(0, '127.0.0.1');
    await once(name, 'listening');
    onTestFinished(() => {
      name.close();
      for (const socket of sockets) socket.destroy();
    });
    const driver = await open([one.url, two.url, `redis://127.0.0.1:${(name.address() as AddressInfo).port}`]);
    await granted(driver);
    target = one.port;
    for (const socket of sockets) socket.destroy();
    await until(() =>
      expect(driver.acquire(claim({ key: `${KEY}:later` }), 'try')).rejects.toThrow('one and the same server'),
    );
  });

  it('are reached when a quorum is, and not otherwise', async () => {
    await kill(0, 1);
    const driver = await open();
    await granted(driver);
    expect(driver.events.filter(({ type }) => type !== 'warning')).toEqual([{ type: 'up' }]);
    await kill(2);
    const before = performance.now();
    await expect(open()).rejects.toThrow(DriverUnavailableError);
    expect(performance.now() - before).toBeLessThan(1500);
    await until(() => expect(driver.events.at(-1)).toMatchObject({ type: 'down' }));
  });
});

describe('a grant by a quorum', () => {
  it('is told to all servers a moment later, and given back by all', async () => {
    const driver = await open();
    const { claim: mine } = await granted(driver);
    await until(async () => expect(await votes()).toEqual(Array(5).fill(mine.holder)));
    expect(await driver.release(mine)).toBe(true);
    await until(async () => expect(await votes()).toEqual(Array(5).fill(undefined)));
  });

  it('that is released at once leaves no vote behind', async () => {
    const driver = await open();
    for (let round = 0; round < 50; round++) {
      const { claim: mine } = await granted(driver);
      if (round % 2) await driver.release(mine);
      else await driver.cancel(mine);
    }
    // Longer than a server is told later.
    await sleep(50);
    await until(async () => expect(await votes()).toEqual(Array(5).fill(undefined)));
  });

  it.each<[string, number[]]>([
    ['all servers up', []],
    ['two down that the holder did not ask', [3, 4]],
    ['two down', [0, 2]],
  ])('is free for others as soon as the release resolves: %s', async (_, down) => {
    const [one, other] = [await open(), await open()];
    await kill(...down);
    for (let time = 0; time < 50; time++) {
      const driver = time % 2 ? one : other;
      await driver.release((await granted(driver)).claim);
    }
  });

  it('is given back by all when the driver is closed right after the release', async () => {
    const driver = new RedlockDriver({ servers: servers.map(({ url }) => url) });
    const listener = (): void => undefined;
    await driver.connect(listener);
    const areFree = async (): Promise<void> => expect(await votes()).toEqual(Array(5).fill(undefined));
    // Once before, so that all servers know the scripts.
    for (const end of [async () => until(areFree), async () => driver.close(listener)]) {
      const { claim: mine } = await granted(driver);
      await until(async () => expect(await votes()).toEqual(Array(5).fill(mine.holder)));
      await driver.release(mine);
      await end();
    }
    await until(areFree);
  });

  it('leaves no vote behind when it was asked for twice, either', async () => {
    const driver = await open();
    for (let time = 0; time < 20; time++) {
      const wish = claim();
      await granted(driver, wish);
      // Every other time the others were told of the first grant by then.
      if (time % 2) await until(async () => expect(await votes()).toEqual(Array(5).fill(wish.holder)));
      await granted(driver, wish);
      await driver.release(wish);
    }
    // Longer than a server is told later.
    await sleep(50);
    await until(async () => expect(await votes()).toEqual(Array(5).fill(undefined)));
  });

  it('leaves no vote behind when it is refused, whoever has the key', async () => {
    const [one, other] = [await open(), await open()];
    const { claim: mine } = await granted(one);
    await until(async () => expect(await votes()).toEqual(Array(5).fill(mine.holder)));
    const key = `{${KEY}}`;
    for (const index of [0, 3]) await admins[index]!.del(key);
    const answer = await other.acquire(claim(), 'try');
    expect(answer).toMatchObject({ status: 'refused', record: { holder: mine.holder } });
    await until(async () => {
      expect((await votes()).filter(Boolean)).toEqual(Array(3).fill(mine.holder));
    });
  });

  it('is not given to a claim whose votes are a minority, and is renewed by a majority only', async () => {
    const driver = await open();
    const { claim: mine } = await granted(driver);
    const other = await granted(driver, claim({ key: `${KEY}:other` }));
    await until(async () => expect(await votes()).toEqual(Array(5).fill(mine.holder)));
    await until(async () => expect(await votes(other.claim.key)).toEqual(Array(5).fill(other.claim.holder)));
    for (const index of [0, 1]) await admins[index]!.del(`{${KEY}}`);
    expect(await driver.renew([mine, other.claim])).toEqual([{ waiters: 0 }, { waiters: 0 }]);
    await until(async () => expect(await votes()).toEqual(Array(5).fill(mine.holder)));
    // The two that keep it are asked first: their answers alone must not count as a renewal.
    for (const index of [2, 3, 4]) await admins[index]!.del(`{${KEY}}`);
    expect(await driver.renew([mine, other.claim])).toEqual(['gone', { waiters: 0 }]);
    await until(async () => expect((await votes()).filter(Boolean)).toEqual([]));
  });

  it('outlives all servers, restarted empty one after the other, and so does the order of tokens', async () => {
    const driver = await open();
    const { claim: mine, token } = await granted(driver);
    await until(async () => expect(await votes()).toEqual(Array(5).fill(mine.holder)));
    for (const [index, server] of servers.entries()) {
      await server.restart();
      await until(async () => {
        expect(await driver.renew([mine])).toEqual([{ waiters: 0 }]);
        expect((await votes())[index]).toBe(mine.holder);
      });
    }
    expect((await driver.acquire(claim(), 'try')).status).toBe('refused');
    const records = await Promise.all(
      admins.map((admin) => admin.hget(marksKey({ key: KEY }), String(bucketOf({ key: KEY })))),
    );
    expect(records).toEqual(Array(5).fill(String(token + 63)));
    await driver.release(mine);
    await until(async () => expect(await votes()).toEqual(Array(5).fill(undefined)));
  });

  it('is not given back to a holder that was released, by a renewal that comes late', async () => {
    const driver = await open();
    const { claim: mine } = await granted(driver);
    await driver.cancel(mine);
    expect(await driver.renew([mine])).toEqual(['gone']);
    expect((await votes()).filter(Boolean)).toEqual([]);
  });

  it('of which nobody knows is answered lease by lease', async () => {
    const driver = await open();
    const { claim: mine } = await granted(driver);
    const other = await granted(driver, claim({ key: `${KEY}:other` }));
    await until(async () => expect(await votes()).toEqual(Array(5).fill(mine.holder)));
    await until(async () => expect(await votes(other.claim.key)).toEqual(Array(5).fill(other.claim.holder)));
    for (const index of [0, 1]) await admins[index]!.del(`{${KEY}}`);
    await pause(4);
    expect(await driver.renew([mine, other.claim])).toEqual(['unknown', { waiters: 0 }]);
  });
});

describe('with servers that are gone', () => {
  it.each([
    ['stopped', pause],
    ['killed', kill],
  ])('two %s of five: goes on', async (_, fail) => {
    const driver = await open();
    const held = await granted(driver);
    await until(async () => expect(await votes()).toEqual(Array(5).fill(held.claim.holder)));
    await fail(0, 3);
    expect(await driver.renew([held.claim])).toEqual([{ waiters: 0 }]);
    expect(await driver.acquire(claim(), 'try')).toMatchObject({
      status: 'refused',
      record: { holder: held.claim.holder },
    });
    expect(await driver.inspect(KEY)).toMatchObject({ holder: held.claim.holder, instance: 'test' });
    expect(await driver.release(held.claim)).toBe(true);
    const took: number[] = [];
    let last = held.token;
    for (let round = 0; round < 20; round++) {
      const before = performance.now();
      const next = await granted(driver);
      expect(await driver.release(next.claim)).toBe(true);
      took.push(performance.now() - before);
      expect(next.token).toBeGreaterThan(last);
      last = next.token;
    }
    // A server that does not answer is waited for once at most.
    expect(took.sort((a, b) => a - b)[10]).toBeLessThan(40);
  });

  it.each([
    ['stopped', pause],
    ['killed', kill],
  ])('three %s of five: the store is down, soon, and never "held by another"', async (_, fail) => {
    const driver = await open();
    const held = await granted(driver);
    await until(async () => expect(await votes()).toEqual(Array(5).fill(held.claim.holder)));
    await fail(0, 2, 3);
    for (const call of [
      () => driver.acquire(claim(), 'try'),
      () => driver.acquire(claim({ key: `${KEY}:free` }), 'queue'),
      () => driver.renew([held.claim]),
      () => driver.release(held.claim),
      () => driver.inspect(KEY),
    ]) {
      const before = performance.now();
      await expect(call()).rejects.toThrow(DriverUnavailableError);
      expect(performance.now() - before).toBeLessThan(1000);
    }
  });

  it('a server that goes on after a stop does not keep a vote that was given back', async () => {
    const driver = await open();
    await pause(0, 1);
    for (let round = 0; round < 10; round++) {
      const { claim: mine } = await granted(driver);
      await sleep(5);
      await driver.release(mine);
    }
    await Promise.all(mend.splice(0).map((repair) => repair()));
    await until(async () => expect(await votes()).toEqual(Array(5).fill(undefined)));
  });

  it('nor does one that first has to be sent the script for the request, and knows the one that takes it back', async () => {
    const driver = await open();
    for (const index of [0, 1]) {
      await admins[index]!.script('FLUSH');
      await admins[index]!.script('LOAD', scripts.release.lua);
    }
    await pause(0, 1);
    // Whom a driver asks first depends on the key.
    const keys = [0, 1, 2, 3, 4].map((number) => `${KEY}${number}`);
    for (const key of keys) await driver.release((await granted(driver, claim({ key }))).claim);
    await Promise.all(mend.splice(0).map((repair) => repair()));
    await until(async () => {
      for (const index of [0, 1]) {
        expect(await admins[index]!.script('EXISTS', scripts.acquire.sha, scripts.release.sha)).toEqual([1, 1]);
      }
      for (const key of keys) expect(await votes(key)).toEqual(Array(5).fill(undefined));
    });
  });

  it('one that restarts empty within the TTL may vote twice; the token of the second grant is larger still', async () => {
    const [one, other] = [await open(), await open()];
    await pause(3, 4);
    const first = await granted(one);
    // The answers of the stopped servers are lost for good.
    await Promise.all(mend.splice(0).map((repair) => repair()));
    await until(async () => expect((await votes()).slice(3)).toEqual([first.claim.holder, first.claim.holder]));
    for (const index of [3, 4]) await admins[index]!.del(`{${KEY}}`);
    await servers[2]!.restart();
    await until(async () => {
      const second = await granted(other);
      expect(second.token).toBeGreaterThan(first.token);
    });
  });
});

describe('the fencing token', () => {
  it('increases when a clock is far ahead or behind, and is not carried away by it', async () => {
    const driver = await open();
    const actual = Date.now();
    let last = 0;
    for (const ahead of [0, 3_600_000, -3_600_000, 400, -400, 0]) {
      vi.spyOn(Date, 'now').mockImplementation(() => actual + ahead);
      const { claim: mine, token } = await granted(driver);
      const more = await driver.reserve(mine);
      vi.restoreAllMocks();
      expect(token).toBeGreaterThan(last);
      expect(more!.fencingToken).toBeGreaterThanOrEqual(token + 64);
      last = more!.fencingToken + more!.tokens - 1;
      expect(Math.abs(last / 1000 - Date.now())).toBeLessThan(10_000);
      expect(await driver.inspect(KEY)).toMatchObject({ holder: mine.holder });
      await driver.release(mine);
    }
  });

  it('is above those that only some servers know', async () => {
    const driver = await open();
    const ahead = (Date.now() + 800) * 1000;
    for (const [index, admin] of admins.entries()) await setMark(admin, KEY, ahead + index * 100);
    const { token } = await granted(driver);
    // Of three servers, so at least one of the three largest.
    expect(token).toBeGreaterThan(ahead + 200);
    await until(async () => {
      const records = await Promise.all(
        admins.map((admin) => admin.hget(marksKey({ key: KEY }), String(bucketOf({ key: KEY })))),
      );
      expect(records.filter((record) => Number(record) >= token + 63).length).toBeGreaterThanOrEqual(3);
    });
  });
});

describe('contenders', () => {
  it('get a hand-off each time soon: a release is told, and a split vote is settled', async () => {
    const CONTENDERS = 5;
    const HOLDS = 20;
    const waits: number[] = [];
    let holding = 0;
    const managers = await Promise.all(
      Array.from({ length: CONTENDERS }, async (_, index) => {
        const driver = new RedlockDriver({ servers: servers.map(({ url }) => url) });
        const options = {
          driver,
          instance: `i${index}`,
          clock: new SystemClock(),
          random: Math.random,
          emit: () => {},
        };
        const manager = new LockManager(options);
        await manager.connect();
        onTestFinished(() => manager.close(0));
        return manager;
      }),
    );
    const from = performance.now();
    await Promise.all(
      managers.map(async (manager) => {
        for (let hold = 0; hold < HOLDS; hold++) {
          const before = performance.now();
          const lock = await manager.acquire(request({ ttl: 10_000, limit: { wait: 15_000 } }));
          waits.push(performance.now() - before);
          expect(++holding).toBe(1);
          await sleep(2);
          holding--;
          await lock.release();
        }
      }),
    );
    const perHandOff = (performance.now() - from) / (CONTENDERS * HOLDS);
    waits.sort((a, b) => a - b);
    const at = (part: number): number => Math.round(waits[Math.floor(waits.length * part)]!);
    if (process.env['SHOW_FIGURES']) console.log({ perHandOff, p50: at(0.5), p90: at(0.9), p99: at(0.99) });
    // Polling alone, every half second, takes many times as long.
    expect(perHandOff).toBeLessThan(100);
  });

  it('hear of a release by push, although they poll every half second only', async () => {
    const [holder, waiter] = [await open(), await open()];
    for (let round = 0; round < 5; round++) {
      const { claim: mine } = await granted(holder);
      await waiter.acquire(claim(), 'queue');
      await until(() => expect(holder.events).toContainEqual({ type: 'contended', key: KEY }));
      waiter.events.length = 0;
      await holder.release(mine);
      await until(() => expect(waiter.events).toContainEqual({ type: 'freed', key: KEY }));
      await sleep(20);
      expect(waiter.events.filter(({ type }) => type === 'freed')).toHaveLength(1);
    }
  });
});

async function openAs(user: ReturnType<typeof documentedUser>, ...changes: string[]): Promise<RedlockServer[]> {
  await Promise.all(admins.map((admin) => admin.call('ACL', 'SETUSER', user.name, ...user.rules, ...changes)));
  return servers.map(({ port }) => ({ host: '127.0.0.1', port, username: user.name, password: user.password }));
}

it('a user with the permissions of the documentation does it all', async () => {
  const user = documentedUser();
  const choice = await openAs(user);
  const [driver, waiter] = [await open(choice), await open(choice)];
  const key = `${user.namespace}:l:k`;
  const records = admins.map((admin, index) => setMark(admin, key, (Date.now() + index) * 1000));
  await Promise.all(records);
  const { claim: mine } = await granted(driver, claim({ key }));
  await waiter.acquire(claim({ key }), 'queue');
  await until(() => expect(driver.events).toContainEqual({ type: 'contended', key }));
  expect(await driver.renew([mine])).toEqual([{ waiters: 1 }]);
  expect(await driver.reserve(mine)).not.toBeNull();
  expect(await driver.inspect(key)).toMatchObject({ holder: mine.holder });
  await driver.release(mine);
  await until(() => expect(waiter.events).toContainEqual({ type: 'freed', key }));
  await driver.cancel(claim({ key }));
  const scope = `${user.namespace}:m:test`;
  await driver.facts.put(scope, 'id', 'value', 5000);
  expect(await driver.facts.list(scope)).toEqual(new Map([['id', 'value']]));
  expect(await driver.facts.advance(scope, 'job', 1, 'me', 5000)).toBe('mine');
  await driver.facts.remove(scope, 'id');
});

it('a user with the permissions of the documentation but for +publish does it all, nobody is told, and each server is warned of', async () => {
  const user = documentedUser();
  const choice = await openAs(user, '-publish');
  const [driver, waiter] = [await open(choice), await open(choice)];
  const key = `${user.namespace}:l:k`;
  const { claim: mine } = await granted(driver, claim({ key }));
  const next = claim({ key });
  expect((await waiter.acquire(next, 'queue')).status).toBe('refused');
  expect(await driver.release(mine)).toBe(true);
  expect((await waiter.acquire(next, 'queue')).status).toBe('granted');
  await waiter.cancel(next);
  const scope = `${user.namespace}:m:test`;
  await driver.facts.put(scope, 'id', 'value', 5000);
  await driver.facts.remove(scope, 'id');
  expect(waiter.events.filter(({ type }) => type === 'freed')).toEqual([]);
  const warnings = (): DriverEvent[] => waiter.events.filter(({ type }) => type === 'warning');
  await until(() => expect(warnings()).toHaveLength(servers.length));
  for (const warning of warnings())
    expect(warning).toMatchObject({ message: expect.stringContaining('Grant +publish') });
});
