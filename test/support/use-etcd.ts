import { EtcdDriver } from 'nestjs-dist-lock/etcd';
import { afterAll, afterEach, beforeAll } from 'vitest';
import { EtcdCluster, type EtcdClusterOptions } from './etcd-server.js';
import { RealEngine } from './real-engine.js';
import { TcpProxy } from './tcp-proxy.js';

export interface SuiteEtcd {
  readonly cluster: EtcdCluster;
  /** What a test opened, closed after it, the last first. */
  readonly closing: (() => unknown)[];
  /** An instance whose driver is closed after the test. */
  engine(instance: string, hosts?: readonly string[]): RealEngine;
  /** A proxy in front of each member. */
  proxies(): Promise<TcpProxy[]>;
  /** All that is stored, below a prefix or at all: keys, with the ids of their leases. */
  stored(prefix?: string): Promise<{ key: string; lease: string; value: string }[]>;
}

/** One real cluster for the tests of a file. After each of them all its members run again and their data is gone. */
export function useEtcd(options: EtcdClusterOptions = {}): SuiteEtcd {
  let cluster: EtcdCluster;
  const closing: (() => unknown)[] = [];
  beforeAll(async () => {
    cluster = await EtcdCluster.start(options);
  });
  afterAll(() => cluster.stop());
  afterEach(async () => {
    await cluster.restore();
    for (const close of closing.splice(0).toReversed()) await close();
    await cluster.empty();
  });
  return {
    get cluster() {
      return cluster;
    },
    closing,
    engine(instance, hosts = cluster.hosts) {
      const engine = new RealEngine(new EtcdDriver({ hosts }), instance);
      closing.push(() => engine.manager.close(0));
      return engine;
    },
    async proxies() {
      const proxies = await Promise.all(cluster.members.map(({ clientPort }) => TcpProxy.start(clientPort)));
      closing.push(() => Promise.all(proxies.map((proxy) => proxy.close())));
      return proxies;
    },
    stored: (prefix) => cluster.stored(prefix),
  };
}

export function hostsOf(proxies: readonly TcpProxy[]): string[] {
  return proxies.map(({ port }) => `127.0.0.1:${port}`);
}
