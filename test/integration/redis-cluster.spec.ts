import { setTimeout as sleep } from 'node:timers/promises';
import { Cluster, Redis } from 'ioredis';
import { RedisDriver, type RedisDriverOptions } from 'nestjs-dist-lock/redis';
import { describe, expect, it, vi } from 'vitest';
import type { LockDriver } from '../../lib/core/lock-driver.js';
import { RedisConnection } from '../../lib/drivers/redis/connection/connection.js';
import { slotOf } from '../../lib/drivers/redis/connection/slots.js';
import { documentedUser } from '../package/pages.js';
import { request } from '../support/engine/engine.js';
import { RealEngine } from '../support/engine/real-engine.js';
import type { RedisServer } from '../support/servers/redis-server.js';
import { RedisCluster } from '../support/servers/redis-topologies.js';
import { useClosing, useTopology } from '../support/servers/use-topology.js';

const cluster = useTopology(() => RedisCluster.start({ nodeTimeout: 15_000 }));
const closing = useClosing();

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
      const lock = await manager.acquire(request({ key, storeKey: key }));
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
    const locks = await Promise.all(keys.map((key) => one.manager.acquire(request({ key, storeKey: key, ttl: 3000 }))));
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

  describe('with a slot that is half-way from one master to another', () => {
    const ttl = 1500;

    /** Holds a lock while its migration stands still, for a few TTLs. */
    async function interrupted(where: 'source' | 'target', isQueued: boolean, id = 'holder') {
      const key = `cluster:l:half-way-${where}-${isQueued}-${id}`;
      const slot = slotOf(`{${key}}`);
      const source = await cluster.ownerOf(slot);
      const target = masters().find((server) => server !== source)!;
      const [holder, waiter] = [engine(id), engine('waiter')];
      const held = await holder.manager.acquire(request({ key, storeKey: key, ttl }));
      const limit = { wait: Infinity };
      const waiting = isQueued
        ? waiter.manager.acquire(request({ key, storeKey: key, ttl: 30_000, limit }))
        : undefined;
      if (isQueued) await waiter.event('contended');
      const finish = await cluster.moveHalfway(slot, source, target, where === 'target' ? [`{${key}}`] : []);
      closing.push(finish);
      return { key, holder, waiter, held, waiting, finish };
    }

    it.each([
      ['source', false],
      ['source', true],
      ['target', false],
      ['target', true],
    ] as const)('keeps and gives back a lease at the %s, waited for: %s', async (where, isQueued) => {
      const { key, holder, waiter, held, waiting, finish } = await interrupted(where, isQueued);
      await sleep(3 * ttl);
      expect(held.held).toBe(true);
      expect(holder.events.filter(({ type }) => type === 'renewed').length).toBeGreaterThan(4);
      await held.release();
      await onEach(async (client) => {
        const [slot, lease] = [slotOf(`{${key}}`), `{${key}}`];
        expect(await client.cluster('GETKEYSINSLOT', slot, 10)).not.toContain(lease);
      });
      await finish();
      const next = waiting ? await waiting : await waiter.manager.acquire(request({ key, storeKey: key }));
      expect(next.fencingToken).toBeGreaterThan(held.fencingToken);
      await next.release();
    });

    it('control: scripts that name several keys could not keep it', async () => {
      const { run } = RedisConnection.prototype;
      vi.spyOn(RedisConnection.prototype, 'run').mockImplementation(function (this: RedisConnection, ...call) {
        return run.call(this, call[0], call[1], call[2], { ...call[3], hasDetour: false });
      });
      try {
        const { holder } = await interrupted('source', false, 'control');
        expect(await holder.event('lost')).toMatchObject({ reason: 'expired' });
      } finally {
        vi.restoreAllMocks();
      }
    });

    it('grants nothing, and says how to end that', async () => {
      const { key, waiter, held, finish } = await interrupted('target', false, 'refused');
      // Redis 6 sends it to and fro.
      const refused = /(TRYAGAIN|ASK|MOVED).* — .*`redis-cli --cluster fix`/;
      const driver = waiter.driver as RedisDriver;
      const claim = { key, holder: 'newcomer', ttl, instance: 'newcomer', metadata: {} };
      await waiter.manager.connect();
      await expect(driver.acquire(claim, 'try')).rejects.toThrow(refused);
      await held.release();
      await expect(driver.acquire(claim, 'try')).rejects.toThrow(refused);
      await finish();
      expect(await driver.acquire(claim, 'try')).toMatchObject({ status: 'granted' });
      await driver.release(claim);
    });

    it('says the same where the nodes do not agree on it, and does not ask them all the time', async () => {
      const key = 'cluster:l:disagreed';
      const slot = slotOf(`{${key}}`);
      const source = await cluster.ownerOf(slot);
      const target = masters().find((server) => server !== source)!;
      const { driver, manager } = engine('a', { redisOptions: { commandTimeout: 500 } });
      await manager.connect();
      await driver.inspect(key);
      const [from, to] = [new Redis(source.url), new Redis(target.url)];
      closing.push(() => [from, to].forEach((client) => client.disconnect()));
      await from.cluster('SETSLOT', slot, 'MIGRATING', await to.cluster('MYID'));
      closing.push(() => from.cluster('SETSLOT', slot, 'STABLE'));
      await to.config('RESETSTAT');
      await expect(driver.inspect(key)).rejects.toThrow(/(ASK|MOVED).* — .*`redis-cli --cluster fix`/);
      const [, asked] = /cmdstat_asking:calls=(\d+)/.exec(await to.info('commandstats'))!;
      expect(Number(asked)).toBeLessThan(40);
    });

    it('refuses a holder that was cancelled meanwhile, once the slot has arrived', async () => {
      const { key, holder, held, finish } = await interrupted('source', false, 'cancelled');
      const claim = { key, holder: held.holder, ttl, instance: 'cancelled', metadata: {} };
      await holder.driver.cancel(claim);
      const late = { ...claim, holder: 'late' };
      await holder.driver.cancel(late);
      await finish();
      expect(await holder.driver.acquire(claim, 'queue')).toEqual({ status: 'refused', record: null });
      expect(await holder.driver.acquire(late, 'queue')).toEqual({ status: 'refused', record: null });
      expect(await holder.driver.inspect(key)).toBeNull();
    });
  });

  it('needs few permissions more than one server', async () => {
    const { name, password, namespace, rules } = documentedUser();
    const added = ['+cluster|slots', '+cluster|info', '+asking', '+readonly', '+readwrite', '+wait'];
    await onEach(async (client) => {
      await client.acl('SETUSER', name, ...rules, ...added);
      await client.acl('LOG', 'RESET');
    }, cluster.servers);
    const redisOptions = { username: name, password };
    const careful = { replicas: { ack: 1 }, failoverQuarantine: 600 };
    const [first, second] = [engine('a', { redisOptions, ...careful }), engine('b', { redisOptions })];
    for (const key of (await keysOfMasters()).map((each) => each.replace('cluster', namespace))) {
      const held = await first.manager.acquire(request({ key, storeKey: key, ttl: 600 }));
      await first.event('renewed');
      const waiting = second.manager.acquire(request({ key, storeKey: key }));
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
