import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { RedisServer } from './redis-server.js';
import { TcpProxy } from './tcp-proxy.js';

const DEADLINE = 30_000;

async function until<T>(look: () => Promise<T | undefined | false>, what: string): Promise<T> {
  const deadline = performance.now() + DEADLINE;
  for (;;) {
    const found = await look().catch(() => undefined);
    if (found) return found;
    if (performance.now() > deadline) throw new Error(`Not so in ${DEADLINE} ms: ${what}`);
    await sleep(20);
  }
}

/** For looking at a server and giving it orders. */
async function ask<T>(port: number, question: (client: Redis) => Promise<T>): Promise<T> {
  const client = new Redis({ port, host: '127.0.0.1', commandTimeout: 1000, retryStrategy: () => null });
  client.on('error', () => undefined);
  try {
    return await question(client);
  } finally {
    client.disconnect();
  }
}

export interface SentinelSetOptions {
  /** 'replication': a proxy before what each replica gets. 'servers': one before each server, for all who talk to it. */
  readonly proxied?: 'replication' | 'servers';
  /** Milliseconds after which a master that does not answer counts as down. */
  readonly downAfter?: number;
  /** For all servers. */
  readonly args?: string[];
}

/** A master, two replicas and three sentinels on loopback. */
export class SentinelSet {
  readonly name = 'locks';
  readonly servers: RedisServer[] = [];
  readonly proxies: TcpProxy[] = [];
  readonly #sentinels: RedisServer[] = [];
  /** The port under which each server is known. */
  readonly #addresses: number[] = [];
  readonly #folder = mkdtempSync(join(tmpdir(), 'sentinels-'));

  static async start(options: SentinelSetOptions = {}): Promise<SentinelSet> {
    const set = new SentinelSet();
    try {
      await set.#start(options);
      return set;
    } catch (error) {
      await set.stop();
      throw error;
    }
  }

  get sentinels(): { host: string; port: number }[] {
    return this.#sentinels.map(({ port }) => ({ host: '127.0.0.1', port }));
  }

  /** As most sentinels see it. */
  async master(): Promise<RedisServer> {
    return until(async () => {
      const ports = await Promise.all(
        this.#sentinels.map(({ port }) =>
          ask(port, (sentinel) => sentinel.call('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', this.name) as Promise<string[]>),
        ),
      );
      const [first] = ports.map(([, port]) => Number(port));
      return ports.every(([, port]) => Number(port) === first) && this.servers[this.#addresses.indexOf(first!)];
    }, 'the sentinels agree on the master');
  }

  /** Resolves when another server than this one is the master, and takes writes. */
  async successorOf(old: RedisServer): Promise<RedisServer> {
    return until(async () => {
      const master = await this.master();
      if (master === old) return undefined;
      const [role] = (await ask(master.port, (client) => client.role())) as unknown as [string];
      return role === 'master' && master;
    }, 'another server is the master');
  }

  /** Resolves when so many replicas follow the master. */
  async attached(replicas: number): Promise<void> {
    await until(async () => {
      const { port } = await this.master();
      const info = await ask(port, (client) => client.info('replication'));
      return [...info.matchAll(/state=online/g)].length >= replicas;
    }, `${replicas} replicas follow`);
  }

  /**
   * Makes the replicas follow by way of their proxies again, for a second at least: a sentinel sends them to the master
   * itself, sooner or later.
   */
  async followProxies(): Promise<void> {
    for (const [index, { port }] of this.proxies.entries()) {
      await ask(this.servers[index + 1]!.port, (client) => client.replicaof('127.0.0.1', port));
    }
    await this.attached(this.proxies.length);
  }

  async #proxy(port: number): Promise<number> {
    const proxy = await TcpProxy.start(port);
    this.proxies.push(proxy);
    return proxy.port;
  }

  async stop(): Promise<void> {
    for (const server of [...this.#sentinels, ...this.servers]) {
      server.tryResume();
      await server.stop();
    }
    for (const proxy of this.proxies) await proxy.close();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  async #start({ proxied, downAfter = 500, args = [] }: SentinelSetOptions): Promise<void> {
    const common = ['--repl-diskless-sync-delay', '0', '--repl-ping-replica-period', '1', ...args];
    for (let index = 0; index < 3; index++) {
      const server = await RedisServer.start({ args: common });
      this.servers.push(server);
      const address = proxied === 'servers' ? await this.#proxy(server.port) : server.port;
      this.#addresses.push(address);
      const [master] = this.#addresses;
      const from = proxied === 'replication' && index > 0 ? await this.#proxy(master!) : master!;
      await ask(server.port, async (client) => {
        await client.config('SET', 'replica-announce-port', address);
        if (index > 0) await client.replicaof('127.0.0.1', from);
      });
    }
    const [master] = this.#addresses;
    for (let index = 0; index < 3; index++) {
      const config = join(this.#folder, `${index}.conf`);
      writeFileSync(
        config,
        `sentinel monitor ${this.name} 127.0.0.1 ${master} 2\n` +
          `sentinel down-after-milliseconds ${this.name} ${downAfter}\n` +
          `sentinel failover-timeout ${this.name} 1000\nsentinel parallel-syncs ${this.name} 2\n`,
      );
      this.#sentinels.push(await RedisServer.start({ config }));
    }
    for (const { port } of this.#sentinels) {
      await until(async () => {
        const [group] = await ask(port, (client) => client.call('SENTINEL', 'MASTERS') as Promise<string[][]>);
        const known = new Map<string, string>();
        for (let index = 0; index < group!.length; index += 2) known.set(group![index]!, group![index + 1]!);
        return known.get('num-slaves') === '2' && known.get('num-other-sentinels') === '2';
      }, 'the sentinels know each other and the replicas');
    }
  }
}

/** Three masters with a replica each, on loopback. */
export class RedisCluster {
  readonly servers: RedisServer[] = [];

  static async start({ nodeTimeout = 1000, args = [] as string[] } = {}): Promise<RedisCluster> {
    const cluster = new RedisCluster();
    try {
      await cluster.#start(nodeTimeout, args);
      return cluster;
    } catch (error) {
      await cluster.stop();
      throw error;
    }
  }

  get nodes(): { host: string; port: number }[] {
    return this.servers.map(({ port }) => ({ host: '127.0.0.1', port }));
  }

  /** The server that has a slot, as the first one of `witnesses` sees it. */
  async ownerOf(slot: number, witnesses = this.servers): Promise<RedisServer> {
    return until(async () => {
      for (const { port } of witnesses) {
        const ranges = (await ask(port, (client) => client.cluster('SLOTS')).catch(() => [])) as unknown as [
          number,
          number,
          [string, number],
        ][];
        const range = ranges.find(([from, to]) => from <= slot && slot <= to);
        if (range) return this.servers.find((server) => server.port === range[2][1]);
      }
      return undefined;
    }, `somebody has slot ${slot}`);
  }

  /** Moves slots with what is in them, one after the other. */
  async move(slots: readonly number[], from: RedisServer, to: RedisServer): Promise<void> {
    const [source, target] = [new Redis(from.url), new Redis(to.url)];
    try {
      const [fromId, toId] = [await source.cluster('MYID'), await target.cluster('MYID')];
      for (const slot of slots) {
        await target.cluster('SETSLOT', slot, 'IMPORTING', fromId);
        await source.cluster('SETSLOT', slot, 'MIGRATING', toId);
        for (;;) {
          const keys = await source.cluster('GETKEYSINSLOT', slot, 100);
          if (keys.length === 0) break;
          await source.call('MIGRATE', '127.0.0.1', to.port, '', 0, 5000, 'KEYS', ...keys);
        }
        for (const node of [target, source]) await node.cluster('SETSLOT', slot, 'NODE', toId);
      }
    } finally {
      for (const client of [source, target]) client.disconnect();
    }
  }

  /** Begins to move a slot, moves these of its keys, and leaves it so. Resolves with what finishes it, once. */
  async moveHalfway(
    slot: number,
    from: RedisServer,
    to: RedisServer,
    keys: readonly string[],
  ): Promise<() => Promise<void>> {
    const ids = [
      await ask(from.port, (node) => node.cluster('MYID')),
      await ask(to.port, (node) => node.cluster('MYID')),
    ];
    await ask(to.port, (node) => node.cluster('SETSLOT', slot, 'IMPORTING', ids[0]!));
    await ask(from.port, async (node) => {
      await node.cluster('SETSLOT', slot, 'MIGRATING', ids[1]!);
      if (keys.length > 0) await node.call('MIGRATE', '127.0.0.1', to.port, '', 0, 5000, 'KEYS', ...keys);
    });
    let finished: Promise<void> | undefined;
    return () => (finished ??= this.move([slot], from, to));
  }

  /** Resolves when each of these sees the whole cluster at work. */
  async isOk(witnesses = this.servers): Promise<void> {
    for (const { port } of witnesses) {
      await until(
        async () => /cluster_state:ok/.test(await ask(port, (client) => client.cluster('INFO'))),
        'the cluster is at work',
      );
    }
  }

  async stop(): Promise<void> {
    for (const server of this.servers) {
      server.tryResume();
      await server.stop();
    }
  }

  async #start(nodeTimeout: number, args: string[]): Promise<void> {
    const clustered = ['--cluster-enabled', 'yes', '--cluster-node-timeout', String(nodeTimeout)];
    for (let index = 0; index < 6; index++) {
      // The bus listens 10,000 above, which has to exist.
      this.servers.push(
        await RedisServer.start({ args: [...clustered, '--repl-diskless-sync-delay', '0', ...args], highest: 55_000 }),
      );
    }
    const [first, ...others] = this.servers as [RedisServer, ...RedisServer[]];
    const masters = this.servers.slice(0, 3);
    for (const [index, { port }] of masters.entries()) {
      const [from, to] = [Math.ceil((16384 * index) / 3), Math.ceil((16384 * (index + 1)) / 3) - 1];
      await ask(port, async (client) => {
        await client.cluster('SET-CONFIG-EPOCH', index + 1);
        await client.cluster('ADDSLOTS', ...Array.from({ length: to - from + 1 }, (_, slot) => from + slot));
      });
    }
    for (const { port } of others) await ask(first.port, (client) => client.cluster('MEET', '127.0.0.1', port));
    for (const { port } of this.servers) {
      await until(
        async () => /cluster_known_nodes:6/.test(await ask(port, (client) => client.cluster('INFO'))),
        'all know each other',
      );
    }
    for (const [index, { port }] of masters.entries()) {
      const id = await ask(port, (client) => client.cluster('MYID'));
      await until(
        async () => (await ask(this.servers[index + 3]!.port, (client) => client.cluster('REPLICATE', id))) === 'OK',
        'a replica follows its master',
      );
    }
    await this.isOk();
    for (const { port } of this.servers.slice(3)) {
      await until(
        async () => /master_link_status:up/.test(await ask(port, (client) => client.info('replication'))),
        'a replica has the data of its master',
      );
    }
    // Replicas are known to all: else none could be elected.
    for (const { port } of this.servers) {
      await until(async () => {
        const nodes = (await ask(port, (client) => client.cluster('NODES'))) as string;
        return [...nodes.matchAll(/ (?:myself,)?slave /g)].length === 3;
      }, 'the replicas are known');
    }
  }
}
