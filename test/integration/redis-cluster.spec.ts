import { Cluster, Redis } from 'ioredis';
import { RedisDriver, type RedisDriverOptions } from 'nestjs-dist-lock/redis';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { LockDriver } from '../../lib/core/lock-driver.js';
import { slotOf } from '../../lib/drivers/redis/slots.js';
import { readmeUser } from '../package/readme.js';
import { request } from '../support/engine.js';
import { RealEngine } from '../support/real-engine.js';
import type { RedisServer } from '../support/redis-server.js';
import { RedisCluster } from '../support/redis-topologies.js';

let cluster: RedisCluster;
const closing: (() => unknown)[] = [];
beforeAll(async () => {
  cluster = await RedisCluster.start({ nodeTimeout: 15_000 });
});
afterAll(() => cluster.stop());
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

const masters = (): RedisServer[] => cluster.servers.slice(0, 3);

function engine(instance = 'a', options: Partial<RedisDriverOptions> = {}, shape = (driver: LockDriver) => driver) {
  const driver = new RedisDriver({ cluster: cluster.nodes, ...options });
  const created = new RealEngine(shape(driver), instance);
  closing.push(() => created.manager.close(0));
  return created;
}

/** A lock on each master. */
async function keysOfMasters(): Promise<string[]> {
  const keys = new Map<RedisServer, string>();
  for (let number = 0; keys.size < 3; number++) {
    const key = `cluster:l:${number}`;
    const owner = await cluster.ownerOf(slotOf(`{${key}}`));
    if (!keys.has(owner)) keys.set(owner, key);
  }
  return masters().map((master) => keys.get(master)!);
}

async function onEach(work: (client: Redis) => Promise<unknown>, servers = masters()): Promise<void> {
  for (const { url } of servers) {
    const client = new Redis(url);
    await work(client).finally(() => client.disconnect());
  }
}

describe('RedisDriver on a cluster', () => {
  it('uses a duplicate of the client of the user, and leaves that alone', async () => {
    const client = new Cluster(cluster.nodes);
    closing.push(() => client.disconnect());
    await client.set('mine', 'value');
    const one = new RealEngine(new RedisDriver({ client }));
    const lock = await one.manager.acquire(request());
    expect(lock.held).toBe(true);
    await lock.release();
    await one.manager.close(0);
    expect(await client.get('mine')).toBe('value');
  });

  it('brings its scripts to each node, also after a flush', async () => {
    const { manager } = engine();
    for (const key of [...(await keysOfMasters()), ...(await keysOfMasters())]) {
      await onEach((client) => client.script('FLUSH'));
      const lock = await manager.acquire(request({ key, name: key }));
      await lock.release();
    }
  });

  it('wakes a waiter at whatever node it listens', async () => {
    const first = engine('first');
    const others = Array.from({ length: 6 }, (_, index) => engine(`other-${index}`));
    await Promise.all(others.map(({ manager }) => manager.connect()));
    let lock = await first.manager.acquire(request({ ttl: 30_000 }));
    for (const other of others) {
      const waiting = other.manager.acquire(request({ ttl: 30_000, pollEvery: 60_000 }));
      await other.event('contended');
      const releasedAt = performance.now();
      await lock.release();
      lock = await waiting;
      // Heartbeats come once a second.
      expect(performance.now() - releasedAt).toBeLessThan(500);
    }
  });

  it('puts no lease on the other nodes at risk while one does not answer', async () => {
    expect(await atRisk((driver) => driver)).toEqual([true, false, false]);
  });

  it('control: with one request for all, that node would concern them too', async () => {
    const ungrouped = (driver: LockDriver): LockDriver =>
      new Proxy(driver, {
        get(target, property) {
          if (property === 'renewalGroup') return undefined;
          const value = Reflect.get(target, property, target) as unknown;
          return typeof value === 'function' ? (value.bind(target) as unknown) : value;
        },
      });
    expect(await atRisk(ungrouped)).toEqual([true, true, true]);
  });

  async function atRisk(shape: (driver: LockDriver) => LockDriver): Promise<boolean[]> {
    const one = engine('a', { redisOptions: { commandTimeout: 2500, socketTimeout: 4000 } }, shape);
    const keys = await keysOfMasters();
    const locks = await Promise.all(keys.map((key) => one.manager.acquire(request({ key, name: key, ttl: 3000 }))));
    const silent = masters()[0]!;
    silent.pause();
    try {
      await one.event('lost');
      return keys.map((key) => one.events.some((event) => event.type === 'at-risk' && event.key === key));
    } finally {
      silent.resume();
      await Promise.all(locks.map((lock) => lock.release()));
    }
  }

  it('needs few permissions more than one server', async () => {
    const { name, password, namespace, rules } = readmeUser();
    const added = ['+cluster|slots', '+cluster|info', '+asking', '+readonly', '+readwrite', '+wait'];
    await onEach(async (client) => {
      await client.acl('SETUSER', name, ...rules, ...added);
      await client.acl('LOG', 'RESET');
    }, cluster.servers);
    const redisOptions = { username: name, password };
    const careful = { replicas: { ack: 1 }, failoverQuarantine: 600 };
    const [first, second] = [engine('a', { redisOptions, ...careful }), engine('b', { redisOptions })];
    for (const key of (await keysOfMasters()).map((each) => each.replace('cluster', namespace))) {
      const held = await first.manager.acquire(request({ key, name: key, ttl: 600 }));
      await first.event('renewed');
      const waiting = second.manager.acquire(request({ key, name: key }));
      await second.event('contended');
      await held.release();
      await (await waiting).release();
    }
    await onEach(async (client) => {
      const log = (await client.acl('LOG')) as unknown[][];
      const refused = log.map((entry) => String(entry[entry.indexOf('object') + 1]));
      expect(refused.filter((object) => !/setinfo|setname/.test(object))).toEqual([]);
    }, cluster.servers);
  });
});
