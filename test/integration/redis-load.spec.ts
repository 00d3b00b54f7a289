import { RedisDriver } from 'nestjs-dist-lock/redis';
import { expect, it } from 'vitest';
import { SystemClock } from '../../lib/core/clock.js';
import { LockManager } from '../../lib/core/lock-manager.js';
import { request } from '../support/engine.js';
import { useRedis } from '../support/use-redis.js';

const CALLERS = 20_000;
const HELD = 200;
/** Longer than a command may take, and than ioredis waits for any answer. */
const BLOCKED = 3500;

const redis = useRedis();

/** What becomes of locks that are held, and of callers that all come at once, while the event loop is blocked. */
async function flood(requests?: number): Promise<{ granted: number; failed: number; lost: number; down: number }> {
  let lost = 0;
  let down = 0;
  const manager = new LockManager({
    driver: new RedisDriver({ url: redis.server.url }),
    instance: 'a',
    clock: new SystemClock(),
    random: Math.random,
    emit: ({ type }) => void (type === 'lost' && lost++),
    onStore: ({ type }) => void (type === 'down' && down++),
    ...(requests === undefined ? {} : { requests }),
  });
  redis.closing.push(() => manager.close(0));
  const limit = { wait: 120_000 };
  for (let index = 0; index < HELD; index++) {
    await manager.acquire(request({ key: `h${index}`, name: `test:l:h${index}`, ttl: 15_000, limit }));
  }
  let granted = 0;
  let failed = 0;
  const callers = Array.from({ length: CALLERS }, async (_, index) => {
    try {
      const lock = await manager.acquire(request({ key: `k${index}`, name: `test:l:k${index}`, ttl: 15_000, limit }));
      // In the middle of everything.
      if (++granted === 1000) for (const end = performance.now() + BLOCKED; performance.now() < end;);
      await lock.release();
    } catch {
      failed++;
    }
  });
  await Promise.all(callers);
  return { granted, failed, lost, down };
}

it(
  'all callers that come at once are granted their locks, and those that are held stay so',
  { timeout: 150_000 },
  async () => {
    expect(await flood()).toEqual({ granted: CALLERS, failed: 0, lost: 0, down: 0 });
  },
);
