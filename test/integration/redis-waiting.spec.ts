import { setMaxListeners } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { RedisDriver } from 'nestjs-dist-lock/redis';
import { describe, expect, it } from 'vitest';
import type { LockDriver } from '../../lib/core/lock-driver.js';
import { request } from '../support/engine/engine.js';
import { RealEngine } from '../support/engine/real-engine.js';
import { useRedis } from '../support/servers/use-redis.js';

const KEYS = 10_000;
/** Milliseconds in which scripts are counted. */
const COUNTED = 4000;
const names = Array.from({ length: KEYS }, (_, index) => `test:l:order-${index}`);

const redis = useRedis();

function engine(id: string, shape = (driver: LockDriver): LockDriver => driver): RealEngine {
  const created = new RealEngine(shape(new RedisDriver({ url: redis.server.url })), id);
  redis.closing.push(() => created.manager.close(0));
  return created;
}

async function scripts(): Promise<number> {
  const [, calls = 0] = /cmdstat_evalsha:calls=(\d+)/.exec(await redis.admin.info('commandstats')) ?? [];
  return Number(calls);
}

/** Scripts a second while one process waits for many keys that others hold, and how many it still waits for then. */
async function cost(waiter: RealEngine, keys: number): Promise<{ perSecond: number; queued: number }> {
  const holder = new RedisDriver({ url: redis.server.url });
  const listener = (): void => undefined;
  redis.closing.push(() => holder.close(listener));
  await holder.connect(listener);
  const waiting = new AbortController();
  setMaxListeners(0, waiting.signal);
  const work: Promise<unknown>[] = [];
  for (let from = 0; from < keys; from += 500) {
    const some = names.slice(from, Math.min(from + 500, keys));
    const held = some.map((key) => ({ key, holder: `of-${key}`, ttl: 600_000, instance: 'holder', metadata: {} }));
    await Promise.all(held.map((claim) => holder.acquire(claim, 'try')));
    for (const name of some) {
      const limit = { wait: Infinity };
      const lock = waiter.manager.acquire(
        request({ key: name, storeKey: name, ttl: 30_000, limit, signal: waiting.signal }),
      );
      work.push(lock.catch(() => undefined));
    }
    await expect.poll(() => redis.admin.llen(`{${some.at(-1)}}:q`), { timeout: 10_000 }).toBe(1);
  }
  const startedAt = performance.now();
  await redis.admin.config('RESETSTAT');
  await sleep(COUNTED);
  const perSecond = ((await scripts()) * 1000) / (performance.now() - startedAt);
  const [seconds, micros] = (await redis.admin.time()) as [number, number];
  const now = seconds * 1000 + micros / 1000;
  const seen = await Promise.all(names.slice(0, keys).map((name) => redis.admin.hvals(`{${name}}:w`)));
  const queued = seen.filter(([at]) => now - Number(at) <= 3000).length;
  waiting.abort(new Error('enough'));
  await Promise.all(work);
  return { perSecond, queued };
}

describe('a process that waits for many keys on Redis', () => {
  it('keeps all its places with at most a hundred scripts a second', { timeout: 120_000 }, async () => {
    const { perSecond, queued } = await cost(engine('waiter'), KEYS);
    expect(queued).toBe(KEYS);
    expect(perSecond).toBeGreaterThan(0);
    expect(perSecond).toBeLessThanOrEqual(100);
  });

  it(
    'control: where each claim asks for itself, a twentieth of the keys costs more than that',
    { timeout: 120_000 },
    async () => {
      const single = (driver: LockDriver): LockDriver =>
        new Proxy(driver, {
          get(target, property) {
            if (property === 'keepPlaces') return undefined;
            const value = Reflect.get(target, property, target) as unknown;
            return typeof value === 'function' ? (value.bind(target) as unknown) : value;
          },
        });
      const { perSecond, queued } = await cost(engine('waiter', single), KEYS / 20);
      expect(queued).toBe(KEYS / 20);
      expect(perSecond).toBeGreaterThan(100);
    },
  );
});
