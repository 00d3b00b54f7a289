// Since when a key is held: the servers' clocks differ, and each majority of the servers has to say the same.
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { type Claim, DriverUnavailableError, type LockRecord } from 'nestjs-dist-lock';
import { RedlockDriver } from 'nestjs-dist-lock/redis';
import { afterAll, afterEach, beforeAll, expect, it, onTestFinished, vi } from 'vitest';
import { newHolder } from '../../lib/core/ids.js';
import { recordOf } from '../../lib/drivers/redis/lease-format.js';
import { mostNamed } from '../../lib/drivers/redlock/ballot.js';
import { leaseKey, waitersKey } from '../../lib/drivers/redlock/lease-text.js';
import { scripts } from '../../lib/drivers/redlock/scripts/scripts.generated.js';
import { ClockShim } from '../support/servers/clock-shim.js';
import { RedisServer } from '../support/servers/redis-server.js';

/** Milliseconds by which the clocks of the servers are ahead of ours. */
const AHEAD = [3_600_000, -3_600_000, 60_000, -60_000, 7000];
const QUORUM = 3;
const KEY = 'test:l:k';

const shims = AHEAD.flatMap((milliseconds) => {
  const shim = ClockShim.create();
  shim?.set(milliseconds);
  return shim ?? [];
});
let servers: RedisServer[];
let admins: Redis[];
beforeAll(async () => {
  servers = await Promise.all(AHEAD.map((_, index) => RedisServer.start({ env: shims[index]?.env ?? {} })));
  admins = servers.map(({ url }) => new Redis(url, { retryStrategy: () => 20, maxRetriesPerRequest: null }));
  for (const admin of admins) admin.on('error', () => undefined);
});
afterAll(async () => {
  for (const admin of admins) admin.disconnect();
  await Promise.all(servers.map((server) => server.stop()));
  for (const shim of shims) shim.remove();
});
afterEach(async () => {
  for (const server of servers) server.tryResume();
  await Promise.all(admins.map((admin) => admin.flushall()));
});

async function open(): Promise<RedlockDriver> {
  const driver = new RedlockDriver({ servers: servers.map(({ url }) => url) });
  const listener = (): void => undefined;
  onTestFinished(() => driver.close(listener));
  await driver.connect(listener);
  return driver;
}

const claim = (): Claim => ({ key: KEY, holder: newHolder(), ttl: 20_000, instance: 'test', metadata: {} });
const until = (check: () => Promise<void>): Promise<void> => vi.waitFor(check, { timeout: 5000, interval: 5 });

async function take(driver: RedlockDriver, wish: Claim): Promise<void> {
  expect(await driver.acquire(wish, 'try')).toMatchObject({ status: 'granted' });
}

/** What the servers say, by their number. */
async function votes(): Promise<(LockRecord | undefined)[]> {
  const keys = [leaseKey({ key: KEY }), waitersKey({ key: KEY })];
  const replies = await Promise.all(admins.map((admin) => admin.eval(scripts.inspect.lua, 2, ...keys)));
  return (replies as [number?, string?, number?][]).map(([remaining = 0, lease, waiters = 0]) =>
    lease === undefined ? undefined : recordOf(remaining, lease, waiters),
  );
}

const holders = async (): Promise<(string | undefined)[]> => (await votes()).map((record) => record?.holder);
const all = (holder: string | undefined): (string | undefined)[] => Array(AHEAD.length).fill(holder);

/** Every answer of a majority that names a holder. */
async function looks(driver: RedlockDriver): Promise<number[]> {
  const records = await votes();
  const said = new Set<number>();
  for (let choice = 0; choice < 2 ** records.length; choice++) {
    const named = mostNamed(records.flatMap((record, index) => ((choice >> index) & 1 && record) || []));
    if (named && named.times >= QUORUM) said.add(named.record.since);
  }
  said.add((await driver.inspect(KEY))!.since);
  return [...said];
}

async function renewUntilAllVoted(driver: RedlockDriver, mine: Claim): Promise<void> {
  await until(async () => {
    expect(await driver.renew([mine])).toEqual([{ waiters: 0 }]);
    expect(await holders()).toEqual(all(mine.holder));
  });
}

it.each<[string, (driver: RedlockDriver, mine: Claim) => unknown]>([
  ['a grant', () => undefined],
  [
    'the votes that are asked for later',
    (_, mine) => until(async () => expect(await holders()).toEqual(all(mine.holder))),
  ],
  ['a renewal, which asks for them, too', renewUntilAllVoted],
  [
    'a renewal by which servers that lost the vote give it again',
    async (driver, mine) => {
      await renewUntilAllVoted(driver, mine);
      for (const index of [0, 3]) await admins[index]!.flushall();
      await renewUntilAllVoted(driver, mine);
    },
  ],
  [
    'restarts of all servers without data, one after the other',
    async (driver, mine) => {
      for (const server of servers) {
        await server.restart();
        await renewUntilAllVoted(driver, mine);
      }
    },
  ],
  [
    'another request for it',
    async (driver, mine) => {
      await renewUntilAllVoted(driver, mine);
      await take(driver, mine);
    },
  ],
  [
    'another request for it, when servers have lost the vote',
    async (driver, mine) => {
      await renewUntilAllVoted(driver, mine);
      for (const index of [1, 2]) await admins[index]!.flushall();
      await take(driver, mine);
      await renewUntilAllVoted(driver, mine);
    },
  ],
])('a lease began when its holder asked for it, by its clock, for every majority: after %s', async (_, happen) => {
  const [driver, other] = [await open(), await open()];
  const mine = claim();
  const before = Date.now();
  await take(driver, mine);
  const after = Date.now();
  // Longer than a clock needs to show another time.
  await sleep(5);
  await happen(driver, mine);
  const [since, ...more] = await looks(other);
  expect(more).toEqual([]);
  expect(since).toBeGreaterThanOrEqual(before);
  expect(since).toBeLessThanOrEqual(after);
});

it('a lease began after the one before it, however long its claim was refused', async () => {
  const [driver, other] = [await open(), await open()];
  const [mine, next] = [claim(), claim()];
  await take(driver, mine);
  const [since] = await looks(other);
  await sleep(5);
  for (let time = 0; time < 3; time++) {
    expect(await other.acquire(next, 'queue')).toMatchObject({ status: 'refused', record: { since } });
  }
  await sleep(5);
  await driver.release(mine);
  const free = Date.now();
  await take(other, next);
  await renewUntilAllVoted(other, next);
  const [later, ...more] = await looks(driver);
  expect(more).toEqual([]);
  expect(later).toBeGreaterThanOrEqual(free);
});

it.each([1, 2, 3])(
  'a lease began with the attempt that got it, also where %i kept votes of an earlier one',
  async (many) => {
    const [driver, other] = [await open(), await open()];
    const mine = claim();
    for (const server of servers.slice(1)) server.pause();
    const attempt = driver.acquire(mine, 'try');
    attempt.catch(() => undefined);
    let text: string | null = null;
    await until(async () => {
      text = await admins[0]!.get(leaseKey(mine));
      expect(text).not.toBeNull();
    });
    await expect(attempt).rejects.toThrow(DriverUnavailableError);
    for (const server of servers.slice(1)) server.resume();
    await until(async () => expect(await holders()).toEqual(all(undefined)));
    // As if servers had missed that the votes were given back.
    const keep = async (indices: readonly number[]): Promise<unknown> =>
      Promise.all(indices.map((index) => admins[index]!.set(leaseKey(mine), text!, 'PX', mine.ttl)));
    const kept = [0, 1, 2].slice(0, many);

    await keep(kept);
    const before = Date.now();
    await take(driver, mine);
    await renewUntilAllVoted(driver, mine);
    const [since, ...more] = await looks(other);
    expect(more).toEqual([]);
    expect(since).toBeGreaterThanOrEqual(before);

    // As if the later attempt had done without them, too. It cannot do without a majority.
    await keep(kept.slice(0, AHEAD.length - QUORUM));
    expect(new Set((await votes()).map((record) => record?.since)).size).toBe(2);
    expect(await looks(other)).toEqual([since]);
  },
);
