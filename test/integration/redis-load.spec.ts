import { RedisDriver } from 'nestjs-dist-lock/redis';
import { describe, expect, it } from 'vitest';
import { SystemClock } from '../../lib/core/clock.js';
import { LockManager } from '../../lib/locks/lock-manager.js';
import { request } from '../support/engine/engine.js';
import { useRedis } from '../support/servers/use-redis.js';

const CALLERS = 20_000;
const HELD = 200;
/** Longer than a command may take, and than ioredis waits for any answer. */
const BLOCKED = 3500;

const redis = useRedis();

interface Flood {
  readonly requests?: number;
  readonly commandTimeout?: number;
  readonly wait?: number;
  /** Milliseconds for which the event loop is blocked in the middle of everything. */
  readonly blocked?: number;
}

interface Outcome {
  granted: number;
  failed: number;
  lost: number;
  down: number;
  /** Requests of which the caller does not know what became of them. */
  unanswered: number;
}

/** What becomes of locks that are held, and of callers that all come at once. */
async function flood({ requests, commandTimeout = 2000, wait = 120_000, blocked = 0 }: Flood): Promise<Outcome> {
  const outcome: Outcome = { granted: 0, failed: 0, lost: 0, down: 0, unanswered: 0 };
  const limit = { wait };
  const driver = new RedisDriver({ url: redis.server.url, commandTimeout });
  const { acquire } = driver;
  driver.acquire = (claim, mode) => {
    const answer = acquire.call(driver, claim, mode);
    answer.catch(() => outcome.unanswered++);
    return answer;
  };
  const manager = new LockManager({
    driver,
    instance: 'a',
    clock: new SystemClock(),
    random: Math.random,
    emit: ({ type }) => void (type === 'lost' && outcome.lost++),
    onStore: ({ type }) => void (type === 'down' && outcome.down++),
    ...(requests === undefined ? {} : { requests }),
  });
  redis.closing.push(() => manager.close(0));
  for (let index = 0; index < HELD; index++) {
    await manager.acquire(request({ key: `h${index}`, storeKey: `test:l:h${index}`, ttl: 15_000, limit }));
  }
  outcome.unanswered = 0;
  const callers = Array.from({ length: CALLERS }, async (_, index) => {
    try {
      const lock = await manager.acquire(
        request({ key: `k${index}`, storeKey: `test:l:k${index}`, ttl: 30_000, limit }),
      );
      if (++outcome.granted === 1000) for (const end = performance.now() + blocked; performance.now() < end;);
      await lock.release();
    } catch {
      outcome.failed++;
    }
  });
  await Promise.all(callers);
  return outcome;
}

describe('callers that all come at once', { timeout: 150_000 }, () => {
  it('are granted their locks, and those that are held stay so, also when the event loop is blocked', async () => {
    expect(await flood({ blocked: BLOCKED })).toEqual({ granted: CALLERS, failed: 0, lost: 0, down: 0, unanswered: 0 });
  });

  it('wait for their turn here, and hardly one for an answer that does not come', async () => {
    const { granted, unanswered } = await flood({ commandTimeout: 100 });
    expect(granted).toBe(CALLERS);
    expect(unanswered).toBeLessThan(CALLERS / 10);
  });

  it('[control] which they do when all requests go at once', async () => {
    const { unanswered } = await flood({ commandTimeout: 100, requests: Infinity, wait: 3000 });
    expect(unanswered).toBeGreaterThan(CALLERS / 10);
  });
});
