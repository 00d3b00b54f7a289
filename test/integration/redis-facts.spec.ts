import { DriverUnavailableError, type FactStore, LockConfigError } from 'nestjs-dist-lock';
import { RedisDriver } from 'nestjs-dist-lock/redis';
import { describe, expect, it } from 'vitest';
import { TcpProxy } from '../support/servers/tcp-proxy.js';
import { useRedis } from '../support/servers/use-redis.js';

const scope = 'test:m:default';
const channel = 'test:i:test:m:default';
const TTL = 60_000;

const redis = useRedis();

interface Instance {
  readonly driver: RedisDriver;
  readonly facts: FactStore;
  /** What the driver said of its connection, since it was connected. */
  readonly states: string[];
}

async function instance(port = redis.server.port): Promise<Instance> {
  const driver = new RedisDriver({ url: `redis://127.0.0.1:${port}`, commandTimeout: 1000 });
  const states: string[] = [];
  const listener = ({ type }: { type: string }): void => void states.push(type);
  redis.closing.push(() => driver.close(listener));
  await driver.connect(listener);
  states.length = 0;
  return { driver, facts: driver.facts, states };
}

async function proxied(): Promise<Instance & { proxy: TcpProxy }> {
  const proxy = await TcpProxy.start(redis.server.port);
  redis.closing.push(() => proxy.close());
  return { proxy, ...(await instance(proxy.port)) };
}

const subscribers = async (): Promise<number> => Number((await redis.admin.pubsub('NUMSUB', channel))[1]);

async function published(): Promise<number> {
  const [, calls = 0] = /cmdstat_publish:calls=(\d+)/.exec(await redis.admin.info('commandstats')) ?? [];
  return Number(calls);
}

describe('a watch of the fact store on Redis', () => {
  it('tells once it listens, so that nobody is missed who came just before', async () => {
    const { facts } = await instance();
    let calls = 0;
    facts.watch(scope, () => void calls++);
    await expect.poll(() => calls).toBe(1);
    expect(await subscribers()).toBe(1);
  });

  it('survives a connection that breaks, and tells that something may have been missed', async () => {
    const [watching, other] = [await proxied(), await instance()];
    const seen: string[][] = [];
    watching.facts.watch(scope, () => {
      void watching.facts.list(scope).then(
        (facts) => seen.push([...facts.values()]),
        () => undefined,
      );
    });
    await other.facts.put(scope, 'id', 'before', TTL);
    await expect.poll(() => seen.at(-1)).toEqual(['before']);

    watching.proxy.refuse();
    await expect.poll(() => watching.states).toContain('down');
    await expect.poll(subscribers).toBe(0);
    await other.facts.put(scope, 'id', 'meanwhile', TTL);
    await watching.proxy.accept();
    await expect.poll(() => seen.at(-1), { timeout: 10_000 }).toEqual(['meanwhile']);
    await expect.poll(subscribers).toBe(1);
    await other.facts.put(scope, 'id', 'after', TTL);
    await expect.poll(() => seen.at(-1)).toEqual(['after']);
  });

  it('that began before the driver was connected works once it is', async () => {
    const driver = new RedisDriver({ url: redis.server.url });
    const listener = (): void => undefined;
    redis.closing.push(() => driver.close(listener));
    let calls = 0;
    driver.facts.watch(scope, () => void calls++);
    await driver.connect(listener);
    await expect.poll(subscribers).toBe(1);
    const before = calls;
    await driver.facts.put(scope, 'id', 'value', TTL);
    await expect.poll(() => calls).toBeGreaterThan(before);
  });

  it('that began while there was no connection works once there is one', async () => {
    const [watching, other] = [await proxied(), await instance()];
    watching.proxy.refuse();
    await expect.poll(() => watching.states).toContain('down');
    let calls = 0;
    watching.facts.watch(scope, () => void calls++);
    await expect(watching.facts.list(scope)).rejects.toMatchObject({ sent: false });
    expect(calls).toBe(0);
    await watching.proxy.accept();
    await expect.poll(subscribers, { timeout: 10_000 }).toBe(1);
    await expect.poll(() => watching.states).toContain('up');
    const before = calls;
    expect(before).toBeGreaterThan(0);
    await other.facts.put(scope, 'id', 'value', TTL);
    await expect.poll(() => calls).toBeGreaterThan(before);
  });

  it('shares one subscription, which ends with the last of them and can begin again', async () => {
    const [watching, other] = [await instance(), await instance()];
    let calls = 0;
    const ends = [1, 2].map(() => watching.facts.watch(scope, () => void calls++));
    await expect.poll(subscribers).toBe(1);
    ends[0]!();
    ends[0]!();
    await other.facts.put(scope, 'id', '1', TTL);
    await expect.poll(() => calls).toBeGreaterThan(0);
    expect(await subscribers()).toBe(1);
    ends[1]!();
    await expect.poll(subscribers).toBe(0);
    const end = watching.facts.watch(scope, () => undefined);
    await expect.poll(subscribers).toBe(1);
    end();
    watching.facts.watch(scope, () => undefined);
    await other.facts.put(scope, 'id', '2', TTL);
    await expect.poll(subscribers).toBe(1);
  });

  it('costs nothing while facts are only refreshed', async () => {
    const { facts } = await instance();
    await facts.put(scope, 'id', 'value', TTL);
    await redis.admin.config('RESETSTAT');
    for (let round = 0; round < 10; round++) await facts.put(scope, 'id', 'value', TTL);
    await facts.remove(scope, 'unknown');
    expect(await published()).toBe(0);
    await facts.put(scope, 'id', 'another', TTL);
    await facts.remove(scope, 'id');
    expect(await published()).toBe(2);
  });
});

describe('what the fact store stores on Redis', () => {
  it('can be read, and is named by the scope', async () => {
    const { facts } = await instance();
    await facts.put(scope, 'host:1', '{"role":"leader"}', TTL);
    await facts.advance('test:f:', 'Billing.report {x} 100%', 1_700_000_000_000, 'host:1', TTL);
    const keys = ['{test:f:}:Billing.report {x%7D 100%25', `{${scope}}`];
    expect((await redis.admin.keys('*')).sort()).toEqual(keys);
    expect(await redis.admin.hget(keys[1]!, 'host:1')).toMatch(/^\d{13} \{"role":"leader"\}$/);
    expect(await redis.admin.get(keys[0]!)).toBe('1700000000000 host:1');
  });

  it('ends with the fact that lives longest, and a later shorter one changes nothing', async () => {
    const { facts } = await instance();
    await facts.put(scope, 'long', 'value', 500_000);
    await facts.put(scope, 'short', 'value', 1000);
    await facts.advance(scope, 'job', 5, 'by', 1000.5);
    expect(await redis.admin.pttl(`{${scope}}`)).toBeGreaterThan(400_000);
    await facts.put(scope, 'longer', 'value', 5_000_000);
    expect(await redis.admin.pttl(`{${scope}}`)).toBeGreaterThan(4_000_000);
    const left = await redis.admin.pttl(`{${scope}}:job`);
    expect(left).toBeGreaterThan(0);
    expect(left).toBeLessThanOrEqual(1001);
  });

  it('does not grow by facts that have run out, though nobody lists them', async () => {
    const { facts } = await instance();
    await facts.put(scope, 'kept', 'value', TTL);
    for (let round = 0; round < 20; round++) await facts.put(scope, `gone ${round}`, 'value', 1);
    await expect
      .poll(async () => {
        await facts.put(scope, 'newest', 'value', TTL);
        await facts.remove(scope, 'newest');
        return redis.admin.hkeys(`{${scope}}`);
      })
      .toEqual(['kept']);
  });

  it('survives a flush of the script cache', async () => {
    const { facts } = await instance();
    await facts.put(scope, 'id', 'value', TTL);
    await redis.admin.script('FLUSH');
    expect(await facts.list(scope)).toEqual(new Map([['id', 'value']]));
    await redis.admin.script('FLUSH');
    expect(await facts.advance(scope, 'job', 5, 'by', TTL)).toBe('mine');
  });
});

describe('a call of the fact store that fails on Redis', () => {
  it('says what to mend when something else uses the key', async () => {
    const { facts } = await instance();
    await redis.admin.set(`{${scope}}`, 'something else');
    await redis.admin.rpush(`{${scope}}:job`, 'something else');
    const calls = [
      () => facts.put(scope, 'id', 'value', TTL),
      () => facts.remove(scope, 'id'),
      () => facts.list(scope),
      () => facts.advance(scope, 'job', 5, 'by', TTL),
    ];
    for (const call of calls) {
      const error: unknown = await call().catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(LockConfigError);
      expect((error as Error).message).toContain('change `namespace`');
    }
  });

  it('can be repeated when its answer was lost: a claimed number is still mine, and taken for others', async () => {
    const [one, other] = [await proxied(), await instance()];
    await one.facts.list(scope);
    const dropped = one.proxy.dropNextReply();
    const claimed = one.facts.advance(scope, 'job', 5, 'one', TTL).catch((reason: unknown) => reason);
    await dropped;
    const error = await claimed;
    expect(error).toBeInstanceOf(DriverUnavailableError);
    expect((error as DriverUnavailableError).sent).toBe(true);
    await expect.poll(() => one.states, { timeout: 10_000 }).toContain('up');
    expect(await other.facts.advance(scope, 'job', 5, 'other', TTL)).toBe('taken');
    expect(await one.facts.advance(scope, 'job', 5, 'one', TTL)).toBe('mine');
    // Control: who does not say that it is the same one is refused its own claim.
    expect(await one.facts.advance(scope, 'job', 5, 'one again', TTL)).toBe('taken');
  });
});

describe('a release on Redis that prefers a waiting instance', () => {
  it('passes by a waiter whose metadata cannot be read', async () => {
    const { driver } = await instance();
    const claim = (holder: string, metadata = {}) => ({
      key: 'test:l:k',
      holder,
      ttl: TTL,
      instance: holder,
      metadata,
    });
    await driver.acquire(claim('holder'), 'try');
    await driver.acquire(claim('strange', { half: '\ud83d' }), 'queue');
    await driver.acquire(claim('wanted'), 'queue');
    await driver.acquire(claim('last'), 'queue');
    expect(await driver.release(claim('holder'), 'wanted')).toBe(true);
    expect(await driver.inspect('test:l:k')).toMatchObject({ holder: 'wanted', waiters: 2 });
    expect((await redis.admin.lrange('{test:l:k}:q', 0, -1)).map((entry) => entry.split(' ')[0])).toEqual([
      'strange',
      'last',
    ]);
    expect(await redis.admin.hkeys('{test:l:k}:w')).toEqual(['strange', 'last']);
    expect(await redis.admin.pttl('{test:l:k}:q')).toBeGreaterThan(0);
  });
});

describe('a scope with thousands of facts', () => {
  const factsKey = `{${scope}}`;
  const called = async (command: string): Promise<number> =>
    Number(new RegExp(`cmdstat_${command}:calls=(\\d+)`).exec(await redis.admin.info('commandstats'))?.[1] ?? 0);

  async function put(facts: FactStore, prefix: string, count: number, ttl: number): Promise<void> {
    for (let from = 0; from < count; from += 500) {
      const ids = Array.from({ length: Math.min(500, count - from) }, (_, index) => `${prefix}-${from + index}`);
      await Promise.all(ids.map((id) => facts.put(scope, id, 'value', ttl)));
    }
  }

  it('is gone through when it is listed, and otherwise hardly ever', async () => {
    const { facts } = await instance();
    await put(facts, 'before', 9000, TTL);
    await redis.admin.config('RESETSTAT');
    await put(facts, 'new', 2000, TTL);
    for (let index = 0; index < 500; index++) await facts.remove(scope, `new-${index}`);
    // Now and then those are looked for that have run out.
    expect(await called('hgetall')).toBeLessThan(40);
    expect((await facts.list(scope)).size).toBe(10_500);
  });

  it('does not keep what has run out, though nobody lists it', async () => {
    const { facts } = await instance();
    await facts.put(scope, 'long', 'value', TTL);
    await put(facts, 'short', 3000, 1);
    expect(await redis.admin.hlen(factsKey)).toBeLessThan(2000);
  });

  it('lives as long as the fact that lives longest', async () => {
    const { facts } = await instance();
    await facts.put(scope, 'long', 'value', TTL);
    await facts.put(scope, 'short', 'value', 1000);
    const left = await redis.admin.pttl(factsKey);
    expect(left).toBeGreaterThan(1000);
    expect(left).toBeLessThanOrEqual(TTL);
    for (const id of ['long', 'short']) await facts.remove(scope, id);
    expect(await redis.admin.exists(factsKey)).toBe(0);
  });
});
