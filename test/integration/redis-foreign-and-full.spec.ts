import { LockConfigError } from 'nestjs-dist-lock';
import { RedisDriver } from 'nestjs-dist-lock/redis';
import { beforeEach, describe, expect, it } from 'vitest';
import type { Claim, DriverEvent } from '../../lib/core/lock-driver.js';
import { request } from '../support/engine/engine.js';
import { RealEngine } from '../support/engine/real-engine.js';
import { useRedis } from '../support/servers/use-redis.js';

const key = 'test:l:k';
const lease = `{${key}}`;
const redis = useRedis();

describe('at maxmemory, what gives back still works:', () => {
  let driver: RedisDriver;
  let events: DriverEvent[];
  beforeEach(async () => {
    driver = new RedisDriver({ url: redis.server.url });
    events = [];
    const listener = (event: DriverEvent): void => void events.push(event);
    redis.closing.push(() => driver.close(listener));
    redis.closing.push(() => redis.admin.config('SET', 'maxmemory', '0'));
    await driver.connect(listener);
  });

  const claim = (holder: string, instance = holder): Claim => ({ key, holder, ttl: 30_000, instance, metadata: {} });
  const [held, first, second] = [claim('held'), claim('first'), claim('second')];
  const full = (): Promise<unknown> => redis.admin.config('SET', 'maxmemory', '1');
  const holder = async (): Promise<string | undefined> => (await driver.inspect(key))?.holder;

  /** One holds the key, and others wait. */
  async function fill(...waiters: Claim[]): Promise<void> {
    await driver.acquire(held, 'try');
    for (const waiter of waiters) expect((await driver.acquire(waiter, 'queue')).status).toBe('queued');
    await full();
    // The control: a script that begins with what needs memory is refused.
    await expect(driver.acquire(claim('late'), 'queue')).rejects.toThrow(/OOM/);
  }

  it('a release', async () => {
    await fill();
    expect(await driver.release(held)).toBe(true);
    expect(await holder()).toBeUndefined();
  });

  it('a release that passes the lease on', async () => {
    await fill(first, second);
    expect(await driver.release(held)).toBe(true);
    expect(await holder()).toBe('first');
    await expect.poll(() => events.find(({ type }) => type === 'granted')).toMatchObject({ holder: 'first' });
  });

  it('a release that names who comes first', async () => {
    await fill(first, second);
    expect(await driver.release(held, 'second')).toBe(true);
    expect(await holder()).toBe('second');
    expect(await driver.release(second)).toBe(true);
    expect(await holder()).toBe('first');
  });

  it('the cancel of one that waits', async () => {
    await fill(first, second);
    await driver.cancel(first);
    await driver.release(held);
    expect(await holder()).toBe('second');
  });

  it('the cancel of one that holds', async () => {
    await fill(first);
    await driver.cancel(held);
    expect(await holder()).toBe('first');
  });

  it('the cancel of one that never came, which is remembered', async () => {
    await fill();
    await driver.cancel(second);
    await redis.admin.config('SET', 'maxmemory', '0');
    expect((await driver.acquire(second, 'queue')).status).toBe('refused');
  });

  it('renewals and heartbeats', async () => {
    await fill(first);
    expect(await driver.renew([held])).toEqual([{ waiters: 1 }]);
    expect(await driver.keepPlaces([{ ...first, behind: 0 }])).toMatchObject([{ record: { holder: 'held' } }]);
  });
});

describe('a key of ours that something else has written', () => {
  const url = (): { url: string } => ({ url: redis.server.url });

  it.each<[string, () => Promise<unknown>]>([
    ['a lease that never ends', () => redis.admin.set(lease, 'holder 5 inbox 7 {"instance":"i","metadata":{}}')],
    ['a text', () => redis.admin.set(lease, 'a text')],
    ['a text that ends', () => redis.admin.set(lease, 'a text', 'PX', 60_000)],
    ['an empty text', () => redis.admin.set(lease, '', 'PX', 60_000)],
    ['a number', () => redis.admin.incr(lease)],
    ['a list', () => redis.admin.rpush(lease, 'a')],
    ['a hash', () => redis.admin.hset(lease, 'a', 'b')],
  ])('is named at once to who waits for it, and to who looks: %s', async (_, write) => {
    await write();
    const engine = new RealEngine(new RedisDriver(url()));
    redis.closing.push(() => engine.manager.close(0));
    await redis.admin.config('RESETSTAT');
    const failure = await engine.manager.acquire(request({ ttl: 30_000 })).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(LockConfigError);
    expect((failure as Error).message).toMatch(/another application uses this key.*namespace/is);
    await expect(engine.manager.inspect(key)).rejects.toBeInstanceOf(LockConfigError);
    expect(await redis.admin.exists(`${lease}:q`, `${lease}:w`)).toBe(0);
  });

  it('costs no other lease and no other place that goes by the same request', async () => {
    const driver = new RedisDriver(url());
    const listener = (): void => undefined;
    redis.closing.push(() => driver.close(listener));
    await driver.connect(listener);
    const claims = ['a', 'lease', 'queue', 'seen', 'z'].map((name) => ({
      key: `test:l:${name}`,
      holder: `holder-${name}`,
      ttl: 30_000,
      instance: 'i',
      metadata: {},
    }));
    const waiters = claims.map((claim) => ({ ...claim, holder: `waiter-${claim.holder}`, behind: 0 }));
    for (const claim of claims) await driver.acquire(claim, 'try');
    for (const waiter of waiters) await driver.acquire(waiter, 'queue');
    for (const broken of ['{test:l:lease}', '{test:l:queue}:q', '{test:l:seen}:w']) {
      await redis.admin.del(broken);
      await redis.admin.sadd(broken, 'something');
    }
    const outcomes = await driver.renew(claims);
    expect(outcomes.map((outcome) => typeof outcome)).toEqual(['object', 'string', 'object', 'object', 'object']);
    const places = await driver.keepPlaces(waiters);
    expect([places[0], places[4]]).toMatchObject([{ record: { instance: 'i' } }, { record: { instance: 'i' } }]);
    expect([places[1], places[3]]).toEqual(['ask', 'ask']);
  });
});
