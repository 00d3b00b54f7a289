import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Redis } from 'ioredis';
import { MemoryDriver } from 'nestjs-dist-lock/memory';
import { RedisDriver, RedlockDriver } from 'nestjs-dist-lock/redis';
import { describe, expect, it } from 'vitest';
import { request } from '../support/engine/engine.js';
import { RealEngine } from '../support/engine/real-engine.js';
import { useAdmins, useRedisServers } from '../support/servers/use-redis.js';

/** `GROWTH_KEYS=1000000 npx vitest run test/integration/growth.spec.ts` takes a minute or two, and prints what grew. */
const KEYS = Number(process.env['GROWTH_KEYS'] ?? 20_000);
/** Bytes that a key may leave behind: a record per key, in the server or in the process, takes more than a hundred. */
const PER_KEY = 20;
/** And those that do not depend on the number of keys: buffers, compiled code, the marks. */
const FIXED = 4_000_000;

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

function heap(): number {
  collectGarbage();
  return process.memoryUsage().heapUsed;
}

const usedMemory = async (admin: Redis): Promise<number> =>
  Number(/used_memory:(\d+)/.exec(await admin.info('memory'))![1]);

/** Without the markers of requests that were not answered in time, which end by themselves. */
async function left(admins: readonly Redis[]): Promise<ReadonlySet<string>> {
  const keys = await Promise.all(admins.map((admin) => admin.keys('*')));
  return new Set(keys.flat().filter((key) => !key.includes(':x:')));
}

async function lockEach(engine: RealEngine, atOnce: number, from: number, count: number): Promise<void> {
  let next = from;
  const worker = async (): Promise<void> => {
    while (next < from + count) {
      const lock = await engine.manager.acquire(
        request({ storeKey: `test:l:order:${next++}`, limit: { wait: 60_000 } }),
      );
      await lock.release();
      engine.events.length = 0;
    }
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
}

describe(`${KEYS} keys that are locked once each`, () => {
  const servers = useRedisServers(3);
  const admins = useAdmins(servers);

  it.each([
    { name: 'Redis', atOnce: 500, create: () => new RedisDriver({ url: servers[0]!.url }), marks: ['{test:t:}'] },
    {
      name: 'Redlock',
      // More of them are not answered in time on a busy machine, and then each leaves a marker for a minute.
      atOnce: 50,
      create: () => new RedlockDriver({ servers: servers.map(({ url }) => url) }),
      marks: ['{test:t:}:b'],
    },
    { name: 'memory', atOnce: 500, create: () => new MemoryDriver(), marks: [] },
  ])(
    'leave nothing behind: $name',
    async ({ name, atOnce, create, marks }) => {
      await Promise.all(admins.map((admin) => admin.flushall()));
      const engine = new RealEngine(create());
      try {
        // What there is one of, however many keys: connections, scripts, buffers that have grown, the marks.
        await lockEach(engine, atOnce, 0, 5000);
        const before = { heap: heap(), stored: await Promise.all(admins.map(usedMemory)) };
        const startedAt = performance.now();
        await lockEach(engine, atOnce, 5000, KEYS);
        const took = performance.now() - startedAt;
        const after = { heap: heap(), stored: await Promise.all(admins.map(usedMemory)) };
        // What a majority did not need is given back a little later.
        await expect.poll(() => left(admins)).toEqual(new Set(marks));
        if (process.env['GROWTH_KEYS']) console.info(name, { KEYS, took: Math.round(took), before, after });
        expect(after.heap - before.heap).toBeLessThan(FIXED + PER_KEY * KEYS);
        for (const [index, stored] of after.stored.entries()) {
          expect(stored - before.stored[index]!).toBeLessThan(FIXED / 4 + PER_KEY * KEYS);
        }
      } finally {
        await engine.manager.close(0);
      }
    },
    60_000 + KEYS,
  );
});
