import type { LockDriver } from 'nestjs-dist-lock';
import { EtcdDriver } from 'nestjs-dist-lock/etcd';
import { RedisDriver, RedlockDriver } from 'nestjs-dist-lock/redis';
import { describe, expect, it } from 'vitest';
import { request } from '../support/engine/engine.js';
import { RealEngine } from '../support/engine/real-engine.js';
import { EtcdCluster } from '../support/servers/etcd-server.js';
import { RedisServer } from '../support/servers/redis-server.js';
import { RedisCluster, SentinelSet } from '../support/servers/redis-topologies.js';
import { useClosing, useTopology } from '../support/servers/use-topology.js';

const LEAST = 2000;
/** Long enough that no lease of it ends in a test: what ends before was shortened. */
const TTL = 60_000;

interface Topology {
  create(): LockDriver;
  stop(): Promise<unknown>;
}

const TOPOLOGIES: Record<string, () => Promise<Topology>> = {
  async Redis() {
    const server = await RedisServer.start();
    return { create: () => new RedisDriver({ url: server.url }), stop: () => server.stop() };
  },
  async Sentinel() {
    const set = await SentinelSet.start();
    return {
      create: () => new RedisDriver({ sentinels: set.sentinels, name: set.name }),
      stop: () => set.stop(),
    };
  },
  async 'Redis Cluster'() {
    const cluster = await RedisCluster.start();
    return { create: () => new RedisDriver({ cluster: cluster.nodes.slice(0, 2) }), stop: () => cluster.stop() };
  },
  async Redlock() {
    const servers = await Promise.all([1, 2, 3].map(() => RedisServer.start()));
    return {
      create: () => new RedlockDriver({ servers: servers.map(({ url }) => url) }),
      stop: () => Promise.all(servers.map((server) => server.stop())),
    };
  },
  async etcd() {
    const cluster = await EtcdCluster.start({ members: 1 });
    return { create: () => new EtcdDriver({ hosts: cluster.hosts }), stop: () => cluster.stop() };
  },
};

describe.each(Object.entries(TOPOLOGIES))('%s', (_name, start) => {
  const topology = useTopology(start);
  const closing = useClosing();
  let tests = 0;

  /** Two instances, connected, and a key of their own. */
  async function instances(): Promise<{ one: RealEngine; other: RealEngine; key: ReturnType<typeof request> }> {
    const [one, other] = ['a', 'b'].map((id) => new RealEngine(topology.create(), id)) as [RealEngine, RealEngine];
    for (const { manager } of [one, other]) {
      await manager.connect();
      closing.push(() => manager.close(0));
    }
    tests++;
    return {
      one,
      other,
      key: request({ key: `k${tests}`, storeKey: `test:l:k${tests}`, ttl: TTL, limit: { wait: 30_000 } }),
    };
  }

  it('lets a waiter have the key after holdAtLeast', async () => {
    const { one, other, key } = await instances();
    const began = performance.now();
    const lock = await one.manager.acquire({ ...key, holdAtLeast: LEAST });
    const waiting = other.manager.acquire(key);
    await lock.release();
    await (await waiting).release();
    const waited = performance.now() - began;
    expect(waited).toBeGreaterThanOrEqual(LEAST);
    expect(waited).toBeLessThan(TTL / 2);
  });

  it('control: without holdAtLeast the waiter has it at once', async () => {
    const { one, other, key } = await instances();
    const lock = await one.manager.acquire(key);
    const began = performance.now();
    const waiting = other.manager.acquire(key);
    await lock.release();
    await (await waiting).release();
    expect(performance.now() - began).toBeLessThan(LEAST);
  });

  it('respects holdAtLeast, and no more, where the instance ends first', async () => {
    const { one, other, key } = await instances();
    const began = performance.now();
    await (await one.manager.acquire({ ...key, holdAtLeast: LEAST })).release();
    await one.manager.close(0);
    await (await other.manager.acquire(key)).release();
    const waited = performance.now() - began;
    expect(waited).toBeGreaterThanOrEqual(LEAST);
    expect(waited).toBeLessThan(TTL / 2);
  });

  it('lets a waiter have the key after maxHold, when the lease has run out', async () => {
    const { one, other, key } = await instances();
    const began = performance.now();
    const lock = await one.manager.acquire({ ...key, ttl: 3000, maxHold: 1000 });
    const waiting = other.manager.acquire({ ...key, ttl: 3000 });
    await (await waiting).release();
    expect(performance.now() - began).toBeGreaterThanOrEqual(1000);
    expect(lock.signal.reason).toMatchObject({ reason: 'max-hold' });
    expect(lock.held).toBe(false);
    await lock.release();
  });
});
