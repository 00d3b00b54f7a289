import { randomUUID } from 'node:crypto';
import { Redis } from 'ioredis';
import type { Claim, DriverEvent, LockDriver } from 'nestjs-dist-lock';
import { EtcdDriver } from 'nestjs-dist-lock/etcd';
import { RedisDriver, RedlockDriver } from 'nestjs-dist-lock/redis';
import { describe, expect, it, onTestFinished } from 'vitest';
import { EtcdCluster } from '../support/servers/etcd-server.js';
import { RedisServer } from '../support/servers/redis-server.js';
import { RedisCluster, SentinelSet } from '../support/servers/redis-topologies.js';
import { useTopology } from '../support/servers/use-topology.js';

const TTL = 5000;
/** Milliseconds in which the last key of a lock ends whose holder and waiters died. */
const LAST = 10_000;
/** And the marker of a holder that was cancelled. */
const MARKER = 60_000;

interface Stored {
  readonly key: string;
  /** Milliseconds until it ends by itself; -1: never. */
  readonly ttl: number;
}

interface Topology {
  create(): LockDriver;
  stored(): Promise<readonly Stored[]>;
  /** What is kept for ever, whatever the number of locks. */
  readonly mark: RegExp;
  /** What is kept as long as an instance lives, one for each. */
  readonly note?: RegExp;
  stop(): Promise<unknown>;
}

async function storedOn(servers: readonly RedisServer[]): Promise<readonly Stored[]> {
  const stored = servers.map(async ({ url }) => {
    const admin = new Redis(url);
    try {
      const keys = await admin.keys('*');
      return await Promise.all(keys.map(async (key) => ({ key, ttl: await admin.pttl(key) })));
    } finally {
      admin.disconnect();
    }
  });
  return (await Promise.all(stored)).flat();
}

const TOPOLOGIES: Record<string, () => Promise<Topology>> = {
  async Redis() {
    const server = await RedisServer.start();
    return {
      create: () => new RedisDriver({ url: server.url }),
      stored: () => storedOn([server]),
      mark: /^\{test:t:\}$/,
      stop: () => server.stop(),
    };
  },
  async Sentinel() {
    const set = await SentinelSet.start();
    return {
      create: () => new RedisDriver({ sentinels: set.sentinels, name: set.name }),
      stored: () => storedOn(set.servers.slice(0, 1)),
      mark: /^\{test:t:\}$/,
      stop: () => set.stop(),
    };
  },
  async 'Redis Cluster'() {
    const cluster = await RedisCluster.start();
    return {
      create: () => new RedisDriver({ cluster: cluster.nodes.slice(0, 2) }),
      stored: () => storedOn(cluster.servers.slice(0, 3)),
      mark: /^\{test:t:\d+\}$/,
      stop: () => cluster.stop(),
    };
  },
  async Redlock() {
    const servers = await Promise.all([1, 2, 3].map(() => RedisServer.start()));
    return {
      create: () => new RedlockDriver({ servers: servers.map(({ url }) => url) }),
      stored: () => storedOn(servers),
      mark: /^\{test:t:\}:b$/,
      stop: () => Promise.all(servers.map((server) => server.stop())),
    };
  },
  async etcd() {
    const cluster = await EtcdCluster.start({ members: 1 });
    return {
      create: () => new EtcdDriver({ hosts: cluster.hosts }),
      stored: async () => (await cluster.stored()).map(({ key, lease }) => ({ key, ttl: lease === '0' ? -1 : TTL })),
      // The revision of the store is the mark.
      mark: /^$/,
      note: /^test:i:[0-9a-f-]+$/,
      stop: () => cluster.stop(),
    };
  },
};

describe.each(Object.entries(TOPOLOGIES))('%s', (name, start) => {
  const topology = useTopology(start);

  const claim = (key: string): Claim => ({
    key: `test:l:${key}`,
    holder: randomUUID(),
    ttl: TTL,
    instance: 'i',
    metadata: {},
  });

  async function open(): Promise<LockDriver & { events: DriverEvent[] }> {
    const driver = topology.create();
    const events: DriverEvent[] = [];
    const listener = (event: DriverEvent): void => void events.push(event);
    onTestFinished(() => driver.close(listener));
    await driver.connect(listener);
    return Object.assign(driver, { events });
  }

  const grant = async (driver: LockDriver, wish: Claim): Promise<void> =>
    expect((await driver.acquire(wish, 'try')).status).toBe('granted');

  /** Without marks and notes, which are few. */
  async function left(): Promise<readonly Stored[]> {
    const stored = await topology.stored();
    return stored.filter(({ key }) => !topology.mark.test(key) && !topology.note?.test(key));
  }

  it('keeps nothing of a lock that was released, passed on, or given up', async () => {
    const [holder, waiter] = [await open(), await open()];
    for (let index = 0; index < 20; index++) {
      const released = claim(`released-${index}`);
      await grant(holder, released);
      await holder.release(released);
    }

    const [first, next] = [claim('passed'), claim('passed')];
    await grant(holder, first);
    await waiter.acquire(next, 'queue');
    await holder.release(first);
    await expect.poll(async () => (await waiter.acquire(next, 'queue')).status, { timeout: 5000 }).toBe('granted');
    await waiter.release(next);

    const [held, impatient] = [claim('given up'), claim('given up')];
    await grant(holder, held);
    await waiter.acquire(impatient, 'queue');
    await waiter.cancel(impatient);
    await holder.release(held);
    await waiter.cancel(claim('never granted'));

    // What a majority did not need is given back a little later.
    const lasting = async () => (await left()).filter(({ key }) => !key.includes(':x:')).map(({ key }) => key);
    await expect.poll(lasting).toEqual([]);
    for (const { key, ttl } of await left()) {
      expect(key).toMatch(/\}:x:/);
      expect(ttl).toBeGreaterThan(0);
      expect(ttl).toBeLessThanOrEqual(MARKER);
    }
  });

  it('keeps what the dead have left for seconds only', async () => {
    const [holder, waiter] = [await open(), await open()];
    const abandoned = claim('abandoned');
    await grant(holder, abandoned);
    for (let index = 0; index < 3; index++) await waiter.acquire(claim('abandoned'), 'queue');
    const ofLock = (await left()).filter(({ key }) => key.includes('abandoned'));
    expect(ofLock.length).toBeGreaterThan(0);
    for (const { key, ttl } of ofLock) {
      if (ttl <= 0 || ttl > Math.max(LAST, TTL)) expect.fail(`${key} ends in ${ttl} ms`);
    }
    if (name !== 'Redis') return;
    await expect
      .poll(async () => (await left()).filter(({ key }) => key.includes('abandoned')), { timeout: LAST + 5000 })
      .toEqual([]);
  });

  it('keeps a number of marks that does not grow with the keys', async () => {
    const driver = await open();
    const marks = async () => (await topology.stored()).filter(({ key }) => topology.mark.test(key));
    const lockAll = async (): Promise<void> => {
      for (let index = 0; index < 100; index++) {
        const one = claim(`one-${index}`);
        await grant(driver, one);
        await driver.release(one);
      }
    };
    await lockAll();
    const before = (await marks()).map(({ key }) => key).toSorted();
    // The same slots of a cluster.
    await lockAll();
    expect((await marks()).map(({ key }) => key).toSorted()).toEqual(before);
    for (const { ttl } of await marks()) expect(ttl).toBe(-1);
  });
});
