import { EtcdDriver } from 'nestjs-dist-lock/etcd';
import { afterEach } from 'vitest';
import { RealEngine } from '../engine/real-engine.js';
import { EtcdCluster, type EtcdClusterOptions, type StoredKey } from './etcd-server.js';
import { TcpProxy } from './tcp-proxy.js';
import { useClosing, useTopology } from './use-topology.js';

export interface SuiteEtcd {
  readonly cluster: EtcdCluster;
  /** What a test opened, closed after it, the last first. */
  readonly closing: (() => unknown)[];
  /** An instance whose driver is closed after the test. */
  engine(instance: string, hosts?: readonly string[]): RealEngine;
  /** A proxy in front of each member. */
  proxies(): Promise<TcpProxy[]>;
  /** All that is stored, below a prefix or at all. */
  stored(prefix?: string): Promise<StoredKey[]>;
}

/** One real cluster for the tests of a file. After each of them all its members run again and their data is gone. */
export function useEtcd(options: EtcdClusterOptions = {}): SuiteEtcd {
  const cluster = useTopology(() => EtcdCluster.start(options));
  // Vitest calls the hook that was set last first: the members run, `closing` is closed, the data is deleted.
  afterEach(() => cluster.empty());
  const closing = useClosing();
  afterEach(() => cluster.restore());
  return {
    cluster,
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
