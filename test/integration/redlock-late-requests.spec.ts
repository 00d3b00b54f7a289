// Requests that a server executes after the release of their holder: none may leave a vote behind.
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import type { Claim, Granted } from 'nestjs-dist-lock';
import { RedlockDriver } from 'nestjs-dist-lock/redis';
import { afterEach, expect, it, onTestFinished, vi } from 'vitest';
import { newHolder } from '../../lib/core/ids.js';
import { release } from '../../lib/drivers/redlock/give-back.js';
import { givenBackKey, leaseKey, marksKey, waitersKey } from '../../lib/drivers/redlock/lease-text.js';
import { scripts } from '../../lib/drivers/redlock/scripts/scripts.generated.js';
import { TcpProxy } from '../support/servers/tcp-proxy.js';
import { useAdmins, useRedisServers } from '../support/servers/use-redis.js';
import { useStarted } from '../support/servers/use-topology.js';

const FREE = Array(5).fill(undefined);

const servers = useRedisServers(5);
const admins = useAdmins(servers);
const proxies = useStarted(
  () => Promise.all(servers.map(({ port }) => TcpProxy.start(port))),
  (opened) => Promise.all(opened.map((proxy) => proxy.close())),
);
afterEach(async () => {
  await Promise.all(admins.map((admin) => admin.flushall()));
});

/** A driver whose servers know all scripts. */
async function open(): Promise<RedlockDriver> {
  const driver = new RedlockDriver({ servers: proxies.map(({ port }) => `redis://127.0.0.1:${port}`) });
  const listener = (): void => undefined;
  onTestFinished(() => driver.close(listener));
  await driver.connect(listener);
  await Promise.all(admins.flatMap((admin) => Object.values(scripts).map(({ lua }) => admin.script('LOAD', lua))));
  return driver;
}

const claim = (key = 'test:l:k'): Claim => ({ key, holder: newHolder(), ttl: 20_000, instance: 'test', metadata: {} });
const votes = (key = 'test:l:k'): Promise<(string | undefined)[]> =>
  Promise.all(admins.map(async (admin) => (await admin.get(`{${key}}`))?.split(' ')[0]));
const until = (check: () => Promise<void>): Promise<void> => vi.waitFor(check, { timeout: 5000, interval: 5 });
const take = async (driver: RedlockDriver, wish: Claim): Promise<void> =>
  expect(await driver.acquire(wish, 'try')).toMatchObject({ status: 'granted' });

it('a renewal that comes after the release gives no votes back', async () => {
  const driver = await open();
  const mine = claim();
  await take(driver, mine);
  await until(async () => expect(await votes()).toEqual(Array(5).fill(mine.holder)));
  for (const proxy of proxies) proxy.holdRequests();
  const renewal = driver.renew([mine]);
  renewal.catch(() => undefined);
  await until(async () => expect(proxies.every(({ holds }) => holds)).toBe(true));
  for (const proxy of proxies) proxy.resetAll();
  await expect(renewal).rejects.toThrow('did not answer');
  await until(async () => expect(await driver.inspect(mine.key)).toMatchObject({ holder: mine.holder }));
  await until(async () => {
    await driver.release(mine);
    expect(await votes()).toEqual(FREE);
  });
  await Promise.all(proxies.map((proxy) => proxy.releaseRequests()));
  await sleep(50);
  expect(await votes()).toEqual(FREE);
});

it('a renewal right after the grant tells servers that were not asked, and the release tells them, too', async () => {
  const driver = await open();
  for (let time = 0; time < 10; time++) {
    const mine = claim();
    await take(driver, mine);
    await driver.renew([mine]);
    await driver.release(mine);
    await until(async () => expect(await votes()).toEqual(FREE));
  }
});

it('a repeated request is answered with the same token, whichever server is slow by then', async () => {
  const driver = await open();
  for (const [index, proxy] of proxies.entries()) {
    const mine = claim(`test:l:k${index}`);
    const first = await driver.acquire(mine, 'try');
    // The two that were not needed for the grant do not know of it yet, and are asked instead of the one that is slow.
    proxy.delayReplies(100);
    const again = await driver.acquire(mine, 'try');
    proxy.delayReplies(0);
    expect(again).toMatchObject({ status: 'granted', fencingToken: (first as Granted).fencingToken });
    expect(await driver.inspect(mine.key)).toMatchObject({ holder: mine.holder });
  }
});

it('a release by an equal reference keeps servers from being asked later', async () => {
  const driver = await open();
  const mine = claim();
  await take(driver, mine);
  await driver.release({ ...mine });
  await sleep(50);
  await until(async () => expect(await votes()).toEqual(FREE));
});

it('a request of a round before the last one is remembered by a server that is sent the script first', async () => {
  const driver = await open();
  for (const admin of admins.slice(0, 2)) {
    await admin.script('FLUSH');
    await admin.script('LOAD', scripts.release.lua);
  }
  for (const server of servers.slice(0, 2)) server.pause();
  const keys = [0, 1, 2, 3, 4].map((number) => `test:l:k${number}`);
  try {
    for (const key of keys) {
      const mine = claim(key);
      await take(driver, mine);
      await take(driver, mine);
      await driver.release(mine);
    }
  } finally {
    for (const server of servers.slice(0, 2)) server.resume();
  }
  await until(async () => {
    expect(await admins[0]!.script('EXISTS', scripts.acquire.sha)).toEqual([1]);
    for (const key of keys) expect(await votes(key)).toEqual(FREE);
  });
});

it('a cancelled holder is remembered for a minute, however short its TTL', async () => {
  const driver = await open();
  const mine = { ...claim(), ttl: 100 };
  await driver.cancel(mine);
  await until(async () => {
    for (const admin of admins) {
      const [marker] = await admin.keys(`*${mine.holder}*`);
      expect(await admin.pttl(marker!)).toBeGreaterThan(45_000);
    }
  });
});

// Rule S6 of docs/internals/safety.md.
it('rounds up to the one that was given back get nothing, later ones do, until all are', async () => {
  const [admin] = admins as [Redis];
  const mine = claim();
  const ask = (round: number): Promise<unknown> => {
    const keys = [leaseKey(mine), marksKey(mine), waitersKey(mine), givenBackKey(mine)];
    const now = Date.now() * 1000;
    return admin.eval(scripts.acquire.lua, 4, ...keys, mine.holder, mine.ttl, round, now, '{}', 1, now, now + 63, '');
  };
  const giveBack = (round?: number): Promise<unknown> => {
    const { script, keys, args } = release(mine, true, round);
    return admin.eval(script.lua, keys.length, ...keys, ...args);
  };
  await ask(2);
  await ask(1);
  await giveBack(1);
  expect((await votes(mine.key))[0]).toBe(mine.holder);
  await giveBack(2);
  expect((await votes(mine.key))[0]).toBeUndefined();
  await giveBack(1);
  expect([await ask(1), await ask(2)]).toEqual([[], []]);
  expect(await ask(3)).not.toEqual([]);
  await giveBack();
  await giveBack(9);
  expect([await ask(3), await ask(10)]).toEqual([[], []]);
});
