import { Redis } from 'ioredis';
import { RedisDriver } from 'nestjs-dist-lock/redis';
import { afterAll, describe, expect, it } from 'vitest';
import type { TokenBlock } from '../../lib/core/lock-driver.js';
import { slotOf } from '../../lib/drivers/redis/connection/slots.js';
import { SlotMarks } from '../../lib/drivers/redis/marks.js';
import { request } from '../support/engine/engine.js';
import { RealEngine } from '../support/engine/real-engine.js';
import { ClockShim } from '../support/servers/clock-shim.js';
import { RedisServer } from '../support/servers/redis-server.js';
import { useClosing } from '../support/servers/use-topology.js';

const MARK = '{test:t:}';
const DAY = 86_400_000;

const closing = useClosing();

async function start(env?: NodeJS.ProcessEnv): Promise<{ server: RedisServer; admin: Redis }> {
  const server = await RedisServer.start(env ? { env } : {});
  const admin = new Redis(server.url, { retryStrategy: () => 20, maxRetriesPerRequest: null });
  admin.on('error', () => undefined);
  closing.push(
    () => server.stop(),
    () => admin.disconnect(),
  );
  return { server, admin };
}

function engine(server: RedisServer): RealEngine {
  const one = new RealEngine(new RedisDriver({ url: server.url }));
  closing.push(() => one.manager.close(0));
  return one;
}

/** The last token that may be in use after a lock was taken and passed on here. */
async function use({ manager }: RealEngine, key = 'k'): Promise<number> {
  const take = async (): Promise<number> => {
    await using lock = await manager.acquire(request({ key, storeKey: `test:l:${key}`, limit: { wait: 20_000 } }));
    return lock.fencingToken;
  };
  const tokens = await Promise.all(Array.from({ length: 5 }, take));
  expect(tokens).toEqual(tokens.toSorted((a, b) => a - b));
  for (const token of tokens) expect(token).toSatisfy(Number.isSafeInteger);
  return tokens.at(-1)!;
}

/** A replica with all that its master has. */
async function replicaOf(master: RedisServer): Promise<{ server: RedisServer; admin: Redis }> {
  const replica = await start();
  await replica.admin.replicaof('127.0.0.1', master.port);
  await expect.poll(() => replica.admin.info('replication'), { timeout: 10_000 }).toMatch(/master_link_status:up/);
  return replica;
}

interface Scene {
  readonly server: RedisServer;
  readonly admin: Redis;
}

// Rule S7 of docs/internals/safety.md.
describe('the fencing token of a key is above all earlier ones', () => {
  it.each<[string, (scene: Scene) => Promise<RedisServer>]>([
    ['after nothing at all', async ({ server }) => server],
    [
      'when the clock was set back by a day: the mark is that far ahead',
      async ({ server, admin }) => {
        await admin.set(MARK, String(Number(await admin.get(MARK)) + DAY * 1000));
        return server;
      },
    ],
    [
      'after a restart without data',
      async ({ server }) => {
        await server.restart();
        return server;
      },
    ],
    [
      'after FLUSHALL',
      async ({ server, admin }) => {
        await admin.flushall();
        return server;
      },
    ],
    [
      'on a replica that takes over and has the mark',
      async ({ server, admin }) => {
        const replica = await replicaOf(server);
        expect(await replica.admin.get(MARK)).toBe(await admin.get(MARK));
        await replica.admin.replicaof('NO', 'ONE');
        return replica.server;
      },
    ],
    [
      'on a replica that takes over and has not got it',
      async ({ server }) => {
        const replica = await replicaOf(server);
        await replica.admin.replicaof('NO', 'ONE');
        await replica.admin.del(MARK);
        return replica.server;
      },
    ],
  ])('%s', async (_, happen) => {
    const scene = await start();
    const one = engine(scene.server);
    let last = await use(one);
    const next = await happen(scene);
    const other = next === scene.server ? one : engine(next);
    for (let round = 0; round < 3; round++) {
      const token = await use(other);
      expect(token).toBeGreaterThan(last);
      last = token;
    }
  });

  it('over all keys of a namespace, whose mark stays in step with the clock', async () => {
    const { server, admin } = await start();
    const one = engine(server);
    let last = 0;
    for (let round = 0; round < 200; round++) {
      const token = await use(one, `k${round % 7}`);
      expect(token).toBeGreaterThan(last);
      last = token;
    }
    expect(await admin.keys('*')).toEqual([MARK]);
    expect(Number(await admin.get(MARK)) / 1000 - Date.now()).toBeLessThan(1000);
  });

  it('and are reserved one at a time while the mark is more than a second ahead of the clock', async () => {
    const { server, admin } = await start();
    const one = engine(server);
    await one.manager.connect();
    /** How many tokens are reserved, first and then, and how far above the last of them the mark is. */
    const reserved = async (ahead: number): Promise<number[]> => {
      await admin.set(MARK, String((Date.now() + ahead) * 1000));
      const claim = { key: `test:l:${ahead}`, holder: 'h', ttl: 30_000, instance: 'i', metadata: {} };
      const granted = (await one.driver.acquire(claim, 'try', 10)) as TokenBlock;
      const block = (await one.driver.reserve!(claim, 10))!;
      const last = block.fencingToken + block.tokens - 1;
      return [granted.tokens, block.tokens, Number(await admin.get(MARK)) - last];
    };
    expect(await reserved(DAY)).toEqual([1, 1, 1]);
    expect(await reserved(500)).toEqual([10, 10, 1]);
    expect(await reserved(-DAY)).toEqual([10, 10, 1]);
  });

  it('also when there are more than a block of them, each in use at once', async () => {
    const { server } = await start();
    const { manager } = engine(server);
    const take = async (): Promise<number> => {
      await using lock = await manager.acquire(request({ storeKey: 'test:l:k', limit: { wait: 20_000 } }));
      return lock.fencingToken;
    };
    const tokens = await Promise.all(Array.from({ length: 300 }, take));
    expect(new Set(tokens).size).toBe(300);
    expect(await use(engine(server))).toBeGreaterThan(Math.max(...tokens));
  });
});

const shim = ClockShim.create();
afterAll(() => shim?.remove());
describe.skipIf(!shim)("a server's clock that was a day ahead, and was corrected", () => {
  it('does not take the tokens back, but without the mark it would', async () => {
    const { server, admin } = await start(shim!.env);
    const one = engine(server);
    await use(one);
    shim!.set(DAY);
    const ahead = await use(one);
    expect(ahead / 1000 - Date.now()).toBeGreaterThan(DAY / 2);
    shim!.set(0);
    const corrected = await use(one);
    expect(corrected).toBeGreaterThan(ahead);
    // The control.
    await admin.del(MARK);
    expect(await use(one)).toBeLessThan(ahead);
  });
});

describe('the marks of a cluster', () => {
  it('are where the lock is, one for each slot, and are covered by the same permission', () => {
    const marks = new SlotMarks();
    const known = new Map<number, string>();
    for (let index = 0; index < 20_000; index++) {
      const key = `test.app-1:l:${index}:é`;
      const mark = marks.keyFor(key);
      const slot = slotOf(`{${key}}`);
      expect(mark).toMatch(/^\{test\.app-1:t:\d+\}$/);
      if (slotOf(mark) !== slot) expect.fail(`${mark} is not in slot ${slot}`);
      if (known.has(slot) && known.get(slot) !== mark) expect.fail(`slot ${slot} has two marks`);
      known.set(slot, mark);
    }
    expect(known.size).toBeGreaterThan(10_000);
  });
});
