import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { type Claim, type DriverEvent, DriverUnavailableError } from 'nestjs-dist-lock';
import { RedisDriver, type RedisDriverOptions } from 'nestjs-dist-lock/redis';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { membersScope } from '../../lib/core/store-key.js';
import { ClusterServers } from '../../lib/drivers/redis/connection/cluster-servers.js';
import { RedisEndpoint } from '../support/servers/redis-endpoint.js';
import { RedisServer } from '../support/servers/redis-server.js';
import { RedisCluster, SentinelSet } from '../support/servers/redis-topologies.js';
import { TcpProxy } from '../support/servers/tcp-proxy.js';
import { useClosing } from '../support/servers/use-topology.js';

/** Milliseconds between two looks of a subscriber at its connection. */
const CHECK = 1000;
const CHANNELS = 'test:i:*';

interface Stage {
  readonly options: RedisDriverOptions;
  /** Milliseconds for which they may hear nothing, beyond those until the next check. */
  readonly deaf?: number;
  /** From here on commands, or what is published, go another way; what is connected stays so where it can. */
  change(): Promise<unknown>;
}

const closing = useClosing();
afterEach(() => {
  vi.restoreAllMocks();
});

const started = <T extends { stop(): unknown }>(what: T): T => {
  closing.push(() => what.stop());
  return what;
};

async function newServer(): Promise<RedisServer> {
  return started(await RedisServer.start());
}

async function newProxy(port: number): Promise<TcpProxy> {
  const proxy = await TcpProxy.start(port);
  closing.push(() => proxy.close());
  return proxy;
}

async function ask<T>(port: number, question: (client: Redis) => Promise<T>): Promise<T> {
  const client = new Redis(port, { retryStrategy: () => null });
  try {
    return await question(client);
  } finally {
    client.disconnect();
  }
}

/** Takes the nodes at which somebody listens out of the cluster. They go on, alone, and close nothing. */
async function listeningNodesLeave({ servers }: RedisCluster): Promise<void> {
  const ports = servers.map(({ port }) => port);
  const listening: number[] = [];
  for (const port of ports) {
    if ((await ask(port, (client) => client.pubsub('CHANNELS', CHANNELS))).length > 0) listening.push(port);
  }
  expect(listening.length).toBeGreaterThan(0);
  const staying = ports.filter((port) => !listening.includes(port));
  for (const port of listening) {
    // Each master has its replica three places further.
    const replica = ports[(ports.indexOf(port) + 3) % 6]!;
    // A master that is busy lets a fail-over lapse, without a word.
    const failOver = async (): Promise<unknown> => {
      await ask(replica, (client) => client.cluster('FAILOVER')).catch(() => undefined);
      return (await ask(port, (client) => client.role()))[0];
    };
    await expect.poll(failOver, { timeout: 20_000, interval: 1000 }).toBe('slave');
    const id = await ask(port, (client) => client.cluster('MYID'));
    await ask(port, (client) => client.cluster('RESET', 'HARD'));
    for (const other of staying) await ask(other, (client) => client.cluster('FORGET', id)).catch(() => undefined);
  }
}

const topologies: Record<string, () => Promise<Stage>> = {
  async 'a server that restarts'() {
    const server = await newServer();
    return { options: { url: server.url }, change: () => server.restart() };
  },

  async 'an address that moves to another server, while the one before goes on'() {
    const [first, second] = [await newServer(), await newServer()];
    const proxy = await newProxy(first.port);
    const moveCommands = async (): Promise<void> => {
      proxy.leadTo(second.port);
      await ask(first.port, (client) => client.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes'));
    };
    return { options: { url: `redis://127.0.0.1:${proxy.port}` }, change: moveCommands };
  },

  async 'an address behind which a replica takes over, and the primary follows it'() {
    const endpoint = started(await RedisEndpoint.start());
    return { options: { url: endpoint.url }, change: () => endpoint.failOver() };
  },

  async 'an address that leads to the primary and to the replica in turn'() {
    const endpoint = started(await RedisEndpoint.start());
    const change = async (): Promise<void> => {
      endpoint.proxy.leadTo(endpoint.replica.port, endpoint.primary.port);
      endpoint.proxy.resetAll();
    };
    // Half of the connections lead astray, and the pauses in between grow.
    return { options: { url: endpoint.url }, change, deaf: 6000 };
  },

  async 'a master that the sentinels are told to replace'() {
    const set = started(await SentinelSet.start());
    const change = async (): Promise<void> => {
      const master = await set.master();
      await ask(set.sentinels[0]!.port, (client) => client.call('SENTINEL', 'FAILOVER', set.name));
      await set.successorOf(master);
    };
    return { options: { sentinels: set.sentinels, name: set.name }, change };
  },

  async 'a cluster that the node which is listened to has left'() {
    const cluster = started(await RedisCluster.start());
    return { options: { cluster: cluster.nodes }, change: () => listeningNodesLeave(cluster) };
  },
};

class Told {
  readonly events: DriverEvent[] = [];
  readonly driver: RedisDriver;
  readonly listener = (event: DriverEvent): void => void this.events.push(event);

  constructor({ options }: Stage) {
    const { cluster, ...rest } = options as { cluster?: never };
    const every = { socketTimeout: CHECK, commandTimeout: 600 };
    const all = cluster ? { cluster, redisOptions: every } : { ...rest, ...every };
    this.driver = new RedisDriver(all);
  }

  async connect(): Promise<void> {
    await this.driver.connect(this.listener);
    closing.push(() => this.driver.close(this.listener));
  }
}

const claim = (instance: string): Claim => ({
  key: 'test:l:key',
  holder: randomUUID(),
  ttl: 3000,
  instance,
  metadata: {},
});

/** As a caller does, until the store answers. */
async function again<T>(request: () => Promise<T>): Promise<T> {
  for (const end = performance.now() + 10_000; ;) {
    try {
      return await request();
    } catch (error) {
      if (!(error instanceof DriverUnavailableError) || performance.now() > end) throw error;
      await sleep(20);
    }
  }
}

/** Whether one who waits is told of a release. */
async function isTold(holder: Told, waiter: Told): Promise<boolean> {
  const [held, waiting] = [claim('holder'), claim('waiter')];
  await vi.waitUntil(async () => (await again(() => holder.driver.acquire(held, 'try'))).status === 'granted', 10_000);
  await again(() => waiter.driver.acquire(waiting, 'queue'));
  await again(() => holder.driver.release(held));
  const isGranted = (): boolean =>
    waiter.events.some((event) => event.type === 'granted' && event.holder === waiting.holder);
  const told = await vi.waitUntil(isGranted, 300).catch(() => false);
  await again(() => waiter.driver.cancel(waiting));
  return told;
}

/** Milliseconds. */
async function deafFor(told: () => Promise<boolean>, limit: number): Promise<number> {
  const from = performance.now();
  while (!(await told())) {
    if (performance.now() - from > limit) return Infinity;
  }
  return performance.now() - from;
}

describe.each(Object.entries(topologies))('those who listen at %s', (name, start) => {
  it('hear again, soon', { timeout: 60_000 }, async () => {
    const stage = await start();
    const [holder, waiter, watcher] = [new Told(stage), new Told(stage), new Told(stage)];
    for (const instance of [holder, waiter, watcher]) await instance.connect();
    const scope = membersScope('test', 'default');
    let changes = 0;
    watcher.driver.facts.watch(scope, () => changes++);
    await expect.poll(() => changes).toBe(1);
    expect(await isTold(holder, waiter)).toBe(true);
    await stage.change();

    let puts = 0;
    const isWatched = async (): Promise<boolean> => {
      const before = changes;
      // What an instance says of itself now and then, by which it notices that commands go elsewhere.
      await again(() => watcher.driver.facts.put(scope, 'watcher', `${puts++}`, 10_000));
      await again(() => holder.driver.facts.put(scope, 'holder', `${puts++}`, 10_000));
      return vi.waitUntil(() => changes > before + 1, 300).catch(() => false);
    };
    const [deaf, blind] = [await deafFor(() => isTold(holder, waiter), 10_000), await deafFor(isWatched, 10_000)];
    if (process.env['FAULT_FIGURES']) console.log(name, Math.round(deaf), Math.round(blind));
    const { deaf: limit = 2000 } = stage;
    expect(deaf).toBeLessThan(CHECK + limit);
    expect(blind).toBeLessThan(CHECK + limit);
  });
});

it('control: one that stays at a node which left its cluster hears nothing', { timeout: 60_000 }, async () => {
  vi.spyOn(ClusterServers.prototype, 'hasSubscriber').mockResolvedValue(true);
  const stage = await topologies['a cluster that the node which is listened to has left']!();
  const [holder, waiter] = [new Told(stage), new Told(stage)];
  for (const instance of [holder, waiter]) await instance.connect();
  expect(await isTold(holder, waiter)).toBe(true);
  await stage.change();
  expect(await deafFor(() => isTold(holder, waiter), 2 * CHECK)).toBe(Infinity);
});
