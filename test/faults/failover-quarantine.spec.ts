import { Cluster, Redis } from 'ioredis';
import { DriverUnavailableError } from 'nestjs-dist-lock';
import { RedisDriver, type RedisDriverOptions } from 'nestjs-dist-lock/redis';
import { beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import { RedisConnection } from '../../lib/drivers/redis/connection/connection.js';
import { slotOf } from '../../lib/drivers/redis/connection/slots.js';
import { FailoverQuarantine } from '../../lib/drivers/redis/failover/failover-quarantine.js';
import type { LockHandle } from '../../lib/locks/lock.js';
import { request } from '../support/engine/engine.js';
import { RealEngine } from '../support/engine/real-engine.js';
import type { RedisServer } from '../support/servers/redis-server.js';
import { RedisCluster, SentinelSet } from '../support/servers/redis-topologies.js';
import { useStarted, useTopology } from '../support/servers/use-topology.js';

const QUARANTINE = 8000;
const quarantined = { failoverQuarantine: QUARANTINE };
const once = { attempts: 1, retryDelay: 1 };

const name = (key: string): string => `reign:l:${key}`;

function engine(options: RedisDriverOptions, instance = 'a'): RealEngine {
  const created = new RealEngine(new RedisDriver(options), instance);
  onTestFinished(() => created.manager.close(0));
  return created;
}

/** With a TTL as long as the quarantine. */
function acquired(one: RealEngine, key: string, limit: { wait: number } | typeof once = once): Promise<LockHandle> {
  return one.manager.acquire(request({ key, storeKey: name(key), ttl: QUARANTINE, limit }));
}

async function used(one: RealEngine, ...keys: string[]): Promise<void> {
  for (const key of keys) await (await acquired(one, key)).release();
}

async function ask<T>({ url }: RedisServer, question: (client: Redis) => Promise<T>): Promise<T> {
  const client = new Redis(url);
  return question(client).finally(() => client.disconnect());
}

const replication = (server: RedisServer): Promise<string> => ask(server, (client) => client.info('replication'));

/** As if the application had been at work for long, so that no master is new to it. */
async function date(masters: readonly RedisServer[], store: Pick<Redis | Cluster, 'set'>): Promise<void> {
  for (const master of masters) {
    const [, reign] = /master_replid:(\w+)/.exec(await replication(master))!;
    await store.set(`{reign:q:}${reign}`, Date.now() - 3_600_000);
  }
}

/** What this master grants from now on reaches no replica. */
async function cutOff(master: RedisServer): Promise<void> {
  await ask(master, async (client) => {
    await client.acl('SETUSER', 'default', '-psync', '-sync');
    await client.call('CLIENT', 'KILL', 'TYPE', 'replica');
  });
}

async function restore(master: RedisServer): Promise<void> {
  await ask(master, (client) => client.acl('SETUSER', 'default', '+psync', '+sync'));
}

/** The mistake of thinking that another master comes with another connection. */
function trustConnections(): void {
  const trusted = new WeakSet<object>();
  const { grant } = FailoverQuarantine.prototype;
  const spy = vi.spyOn(FailoverQuarantine.prototype, 'grant').mockImplementation(async function (
    this: FailoverQuarantine,
    call,
    sender,
    ...others
  ) {
    if (trusted.has(sender.client.stream)) return sender.send(call, false);
    const reply = await grant.call(this, call, sender, ...others);
    trusted.add(sender.client.stream);
    return reply;
  });
  onTestFinished(() => spy.mockRestore());
}

describe('a master that Sentinel replaces before a replica has its last grant', () => {
  /** Milliseconds from one grant to the next of the same lock, whose first holder does not release it. */
  async function betweenGrants(options: Partial<RedisDriverOptions>): Promise<number> {
    const set = await SentinelSet.start();
    onTestFinished(() => set.stop());
    const master = await set.master();
    await ask(master, (client) => date([master], client));
    const sentinels = { sentinels: set.sentinels, name: set.name, ...options };
    const [first, second] = [engine(sentinels), engine(sentinels, 'b')];
    for (const one of [first, second]) await used(one, 'k');

    await cutOff(master);
    const grantedAt = performance.now();
    await acquired(first, 'k');
    await master.kill();
    await set.successorOf(master);
    await acquired(second, 'k', { wait: 30_000 });
    return performance.now() - grantedAt;
  }

  it('grants the lock only when the lease that it does not know has run out', async () => {
    expect(await betweenGrants(quarantined)).toBeGreaterThanOrEqual(QUARANTINE);
  }, 60_000);

  it('waits also where replicas acknowledge what it grants', async () => {
    const set = await SentinelSet.start();
    onTestFinished(() => set.stop());
    const master = await set.master();
    await ask(master, (client) => date([master], client));
    const acks = { sentinels: set.sentinels, name: set.name, ...quarantined, replicas: { ack: 1 } } as const;
    const one = engine(acks);
    await used(one, 'k');
    const killedAt = performance.now();
    await master.kill();
    await set.successorOf(master);
    await expect.poll(() => acquired(one, 'k').catch(String), { timeout: 20_000 }).toMatch(/has a new master/);
    await acquired(one, 'k', { wait: 30_000 });
    expect(performance.now() - killedAt).toBeGreaterThanOrEqual(QUARANTINE);
  }, 90_000);

  it('control: without a quarantine it grants the lock to two', async () => {
    expect(await betweenGrants({})).toBeLessThan(QUARANTINE - 250);
  }, 60_000);
});

describe('on a cluster', () => {
  const cluster = useTopology(() => RedisCluster.start({ nodeTimeout: 15_000 }));
  const store = useStarted(
    () => new Cluster(cluster.nodes),
    (client) => client.disconnect(),
  );
  /** A key on each of the first three servers, which are the masters. */
  let keys: string[];
  /** Another one on the first. */
  let neighbour: string;
  beforeAll(async () => {
    const found: string[][] = [[], [], []];
    for (let number = 0; found.some((each) => each.length < 2); number++) {
      const owner = await cluster.ownerOf(slotOf(`{${name(String(number))}}`));
      found[cluster.servers.indexOf(owner)]!.push(String(number));
    }
    keys = found.map(([key]) => key!);
    neighbour = found[0]![1]!;
  });

  const instance = (options: Partial<RedisDriverOptions> = quarantined, id = 'a'): RealEngine =>
    engine({ cluster: cluster.nodes, ...options }, id);

  async function takeOver(replica: RedisServer, master: RedisServer): Promise<void> {
    await ask(replica, (client) => client.call('CLUSTER', 'FAILOVER', 'TAKEOVER'));
    await expect.poll(() => replication(master), { timeout: 15_000 }).toMatch(/role:slave[^]*master_link_status:up/);
  }

  /** The master of the first key loses what was granted while it was cut off, and is the master again: the same process. */
  async function failBack(grant: () => Promise<LockHandle>): Promise<{ grantedAt: number; lock: LockHandle }> {
    const [master, , , replica] = cluster.servers;
    await cutOff(master!);
    const grantedAt = performance.now();
    const lock = await grant();
    await takeOver(replica!, master!);
    await restore(master!);
    await takeOver(master!, replica!);
    expect(await replication(master!)).toMatch(/role:master/);
    return { grantedAt, lock };
  }

  const dated = (): Promise<void> => date(cluster.servers.slice(0, 3), store);

  it('a master that was a replica in between waits, the other nodes do not, and every instance knows how long', async () => {
    await dated();
    const [first, second] = [instance(), instance(quarantined, 'b')];
    for (const one of [first, second]) await used(one, ...keys);
    const { grantedAt } = await failBack(() => acquired(first, keys[0]!));

    const refused = acquired(second, keys[0]!);
    await expect(refused).rejects.toThrow(DriverUnavailableError);
    await expect(refused).rejects.toThrow(/has a new master: no lock is granted for \d+ ms \(failoverQuarantine\)/);
    const late = instance(quarantined, 'c');
    await used(late, ...keys.slice(1));
    await expect(acquired(late, keys[0]!)).rejects.toThrow(/has a new master/);
    await used(second, ...keys.slice(1));

    const lock = await acquired(second, keys[0]!, { wait: 30_000 });
    expect(performance.now() - grantedAt).toBeGreaterThanOrEqual(QUARANTINE);
    await lock.release();
    await used(late, keys[0]!);
    await used(instance(quarantined, 'd'), ...keys);
  }, 60_000);

  it.each([
    ['without a quarantine', {}, () => {}],
    ['when connections are trusted', quarantined, trustConnections],
  ])(
    'control: %s it grants the lock to two',
    async (_, options, breakIt) => {
      breakIt();
      await dated();
      const [first, second] = [instance(options), instance(options, 'b')];
      for (const one of [first, second]) await used(one, ...keys);
      const { grantedAt } = await failBack(() => acquired(first, keys[0]!));
      await (await acquired(second, keys[0]!)).release();
      expect(performance.now() - grantedAt).toBeLessThan(QUARANTINE - 250);
    },
    60_000,
  );

  /** Milliseconds from before the change until the first who waits in the queue believes in the lease of another master. */
  async function handedOver(): Promise<number> {
    await dated();
    const [first, second] = [instance(), instance(quarantined, 'b')];
    await used(second, keys[0]!);
    const held = await acquired(first, keys[0]!);
    const waiting = acquired(second, keys[0]!, { wait: 30_000 });
    const queue = async (client: Redis): Promise<number> => {
      await client.readonly();
      return client.llen(`{${name(keys[0]!)}}:q`);
    };
    await expect.poll(() => ask(cluster.servers[3]!, queue), { timeout: 5000 }).toBe(1);
    const { grantedAt } = await failBack(() => Promise.resolve(held));
    await held.release();
    await (await waiting).release();
    return performance.now() - grantedAt;
  }

  it('nobody believes in a lease that a new master hands over, which may have had a successor already', async () => {
    expect(await handedOver()).toBeGreaterThanOrEqual(QUARANTINE);
  }, 60_000);

  it('control: who trusts what is published has it at once', async () => {
    const spy = vi.spyOn(RedisConnection.prototype, 'trustsPushes', 'get').mockReturnValue(true);
    onTestFinished(() => spy.mockRestore());
    expect(await handedOver()).toBeLessThan(QUARANTINE - 250);
  }, 60_000);

  it('holders ask whether they still are as soon as the change is noticed', async () => {
    await dated();
    const first = instance({ failoverQuarantine: '10m' });
    // The next renewals are minutes away.
    const minutes = { ttl: 600_000, limit: once };
    const other = await first.manager.acquire(request({ ...minutes, key: 'other', storeKey: name(keys[1]!) }));
    const { lock } = await failBack(() =>
      first.manager.acquire(request({ ...minutes, key: 'lost', storeKey: name(keys[0]!) })),
    );
    await expect(acquired(first, neighbour)).rejects.toThrow(/has a new master/);
    expect(await first.event('lost')).toMatchObject({ key: 'lost', reason: 'gone' });
    expect([lock.held, other.held]).toEqual([false, true]);
    await other.release();
  }, 60_000);

  it('a node that has the dates and does not answer costs the others one quarantine', async () => {
    await dated();
    const one = instance({ failoverQuarantine: 1500, redisOptions: { commandTimeout: 300, socketTimeout: 400 } });
    await one.manager.connect();
    const silent = await cluster.ownerOf(slotOf('{reign:q:}'));
    const key = keys[silent === cluster.servers[0] ? 1 : 0]!;
    const short = request({ key, storeKey: name(key), ttl: 1500 });
    silent.pause();
    try {
      const askedAt = performance.now();
      await expect(one.manager.acquire({ ...short, limit: once })).rejects.toThrow(/has a new master/);
      const lock = await one.manager.acquire({ ...short, limit: { wait: 15_000 } });
      expect(performance.now() - askedAt).toBeGreaterThanOrEqual(1500);
      await lock.release();
    } finally {
      silent.resume();
    }
  }, 60_000);

  it('a slot that moves to another master takes no quarantine there', async () => {
    await dated();
    const [first, second] = [instance(), instance(quarantined, 'b')];
    await used(first, ...keys);
    const [from, to] = cluster.servers as [RedisServer, RedisServer];
    // That of a lock, and that of the dates themselves.
    const slots = [slotOf(`{${name(keys[0]!)}}`), slotOf('{reign:q:}')];
    for (const slot of slots) {
      const owner = await cluster.ownerOf(slot);
      const taker = owner === from ? to : from;
      await cluster.move([slot], owner, taker);
      await used(first, ...keys);
      await used(instance(quarantined, `after ${slot}`), ...keys);
      await cluster.move([slot], taker, owner);
    }
    await used(second, ...keys);
  }, 60_000);
});

describe('a master of a cluster that is killed before its replica has its last grant', () => {
  async function betweenGrants(options: Partial<RedisDriverOptions>): Promise<number> {
    const cluster = await RedisCluster.start();
    onTestFinished(() => cluster.stop());
    const store = new Cluster(cluster.nodes);
    onTestFinished(() => store.disconnect());
    await date(cluster.servers.slice(0, 3), store);
    const [first, second] = [
      engine({ cluster: cluster.nodes, ...options }),
      engine({ cluster: cluster.nodes, ...options }, 'b'),
    ];
    for (const one of [first, second]) await used(one, 'k');
    const master = await cluster.ownerOf(slotOf(`{${name('k')}}`));
    await cutOff(master);
    const grantedAt = performance.now();
    await acquired(first, 'k');
    await master.kill();
    await cluster.isOk(cluster.servers.filter((server) => server !== master));
    await acquired(second, 'k', { wait: 30_000 });
    return performance.now() - grantedAt;
  }

  it('is replaced by one that grants the lock only when the lease which it does not know has run out', async () => {
    expect(await betweenGrants(quarantined)).toBeGreaterThanOrEqual(QUARANTINE);
  }, 60_000);

  it('control: without a quarantine it is granted to two', async () => {
    expect(await betweenGrants({})).toBeLessThan(QUARANTINE - 250);
  }, 60_000);
});
