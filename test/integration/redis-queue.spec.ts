import { RedisDriver } from 'nestjs-dist-lock/redis';
import { describe, expect, it } from 'vitest';
import { request } from '../support/engine/engine.js';
import { RealEngine } from '../support/engine/real-engine.js';
import { useRedis } from '../support/servers/use-redis.js';

const name = 'test:l:k';
const forever = { ttl: 30_000, limit: { wait: Infinity } };

const redis = useRedis();

function instances(count: number): RealEngine[] {
  const created = Array.from(
    { length: count },
    (_, i) => new RealEngine(new RedisDriver({ url: redis.server.url }), `i${i}`),
  );
  for (const { manager } of created) redis.closing.push(() => manager.close(0));
  return created;
}

async function commands(): Promise<Record<string, number>> {
  const stats = (await redis.admin.info('commandstats')).matchAll(/cmdstat_(\w+):calls=(\d+)/g);
  return Object.fromEntries([...stats].map(([, command, calls]) => [command, Number(calls)]));
}

describe('instances that contend for one key on Redis', () => {
  it('take turns, for two commands each, and never overlap', async () => {
    const all = instances(4);
    const TURNS = 100;
    const turns: string[] = [];
    let inside = 0;
    for (const { manager } of all) await (await manager.acquire(request(forever))).release();
    await redis.admin.config('RESETSTAT');
    await Promise.all(
      all.map(async ({ manager }) => {
        for (let turn = 0; turn < TURNS; turn++) {
          const lock = await manager.acquire(request(forever));
          expect(++inside).toBe(1);
          turns.push(manager.instance);
          await new Promise((resolve) => setImmediate(resolve));
          inside--;
          void lock.release();
        }
      }),
    );
    const { evalsha = 0 } = await commands();
    expect(turns).toHaveLength(4 * TURNS);
    expect(evalsha / turns.length).toBeLessThanOrEqual(2.1);
    // Once all wait, everybody has had a turn before anybody has the next.
    const rounds = Array.from(
      { length: TURNS - 10 },
      (_, round) => new Set(turns.slice(8 + 4 * round, 12 + 4 * round)),
    );
    expect(rounds.filter(({ size }) => size < 4).length).toBeLessThan(TURNS / 10);
  });

  it('go on over a flush of the script cache', async () => {
    const [first, second] = instances(2) as [RealEngine, RealEngine];
    const held = await first.manager.acquire(request(forever));
    const waiting = second.manager.acquire(request(forever));
    await second.event('contended');
    await redis.admin.script('FLUSH');
    await held.release();
    await (await waiting).release();
    expect(await redis.admin.exists(`{${name}}`, `{${name}}:q`, `{${name}}:w`)).toBe(0);
  });

  it('leave nothing in the queue when they give up', async () => {
    const [first, ...others] = instances(4) as [RealEngine, ...RealEngine[]];
    const held = await first.manager.acquire(request(forever));
    await Promise.all(others.map(({ manager }) => manager.connect()));
    const patient = { ttl: 30_000, limit: { wait: 300 } };
    await Promise.all(
      others.map(({ manager }) => expect(manager.acquire(request(patient))).rejects.toThrow(/is held by/)),
    );
    await expect.poll(() => redis.admin.exists(`{${name}}:q`, `{${name}}:w`)).toBe(0);
    expect(held.held).toBe(true);
  });

  it('have a waiter passed by whose process is gone, at once', async () => {
    const [first, second] = instances(2) as [RealEngine, RealEngine];
    const dead = new RealEngine(new RedisDriver({ url: redis.server.url }), 'dead');
    const held = await first.manager.acquire(request(forever));
    const lost = dead.manager.acquire(request(forever)).catch((error: Error) => error);
    await dead.event('contended');
    const waiting = second.manager.acquire(request(forever));
    await second.event('contended');
    await expect.poll(() => redis.admin.llen(`{${name}}:q`)).toBe(2);
    // Without a cancel, as a crash would.
    dead.driver.cancel = () => Promise.resolve();
    await dead.manager.close(0);
    await lost;
    await expect.poll(() => redis.admin.pubsub('CHANNELS', 'test:i:*')).toHaveLength(2);
    const releasedAt = performance.now();
    await held.release();
    expect((await waiting).held).toBe(true);
    expect(performance.now() - releasedAt).toBeLessThan(500);
  });

  it('leave a queue behind for a limited time only, when all of them die', async () => {
    const [first, second] = instances(2) as [RealEngine, RealEngine];
    await first.manager.acquire(request(forever));
    second.manager.acquire(request(forever)).catch(() => undefined);
    await expect.poll(() => redis.admin.llen(`{${name}}:q`)).toBe(1);
    for (const key of [`{${name}}`, `{${name}}:q`, `{${name}}:w`]) {
      const left = await redis.admin.pttl(key);
      expect(left, key).toBeGreaterThan(0);
      expect(left, key).toBeLessThanOrEqual(24 * 3600 * 1000);
    }
  });

  it('remember a cancelled holder for a minute, however short its TTL', async () => {
    const [{ driver, manager }] = instances(1) as [RealEngine];
    await manager.connect();
    await driver.cancel({ key: name, holder: 'late', ttl: 100, instance: 'i0', metadata: {} });
    const [marker] = await redis.admin.keys('*late*');
    expect(await redis.admin.pttl(marker!)).toBeGreaterThan(45_000);
  });

  it('pass a key on within themselves without Redis while nobody else waits', async () => {
    const [{ manager }] = instances(1) as [RealEngine];
    await (await manager.acquire(request(forever))).release();
    await redis.admin.config('RESETSTAT');
    const tokens: number[] = [];
    const callers = Array.from({ length: 200 }, async () => {
      await using lock = await manager.acquire(request(forever));
      tokens.push(lock.fencingToken);
    });
    await Promise.all(callers);
    expect(tokens).toEqual(tokens.toSorted((a, b) => a - b));
    // An acquire, a release, and a further block of 64 tokens now and then.
    expect((await commands())['evalsha']).toBeLessThanOrEqual(2 + Math.ceil(200 / 64));
  });

  it('are kept in the queue as long as they are heard of: its keys end 10 s after the last heartbeat', async () => {
    const [first, second] = instances(2) as [RealEngine, RealEngine];
    const held = await first.manager.acquire(request(forever));
    const waiting = second.manager.acquire(request(forever));
    await second.event('contended');
    for (const key of [`{${name}}:q`, `{${name}}:w`]) {
      await expect.poll(() => redis.admin.pttl(key)).toBeGreaterThan(0);
      // As if it had been silent for a while.
      await redis.admin.pexpire(key, 5000);
      await expect.poll(() => redis.admin.pttl(key), { timeout: 4000 }).toBeGreaterThan(5000);
      expect(await redis.admin.pttl(key)).toBeLessThanOrEqual(10_000);
    }
    await held.release();
    await (await waiting).release();
    expect(await redis.admin.keys('*')).toEqual(['{test:t:}']);
  });
});
