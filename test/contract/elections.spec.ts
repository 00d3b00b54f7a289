import { EtcdDriver } from 'nestjs-dist-lock/etcd';
import { MemoryDriver } from 'nestjs-dist-lock/memory';
import { RedisDriver, RedlockDriver } from 'nestjs-dist-lock/redis';
import { describe } from 'vitest';
import { EtcdCluster } from '../support/servers/etcd-server.js';
import { RedisCluster, SentinelSet } from '../support/servers/redis-topologies.js';
import { useRedis, useRedisServers } from '../support/servers/use-redis.js';
import { useTopology } from '../support/servers/use-topology.js';
import { electionSuite } from './election-suite.js';

// Rule S9 of docs/internals/safety.md, on every driver.

const memory = new MemoryDriver();
electionSuite('MemoryDriver', () => memory);

const redis = useRedis();
electionSuite('RedisDriver', () => new RedisDriver({ url: redis.server.url }));

describe('with Sentinel', () => {
  const set = useTopology(() => SentinelSet.start());
  electionSuite('RedisDriver, Sentinel', () => new RedisDriver({ sentinels: set.sentinels, name: set.name }));
});

describe('on a cluster', () => {
  const cluster = useTopology(() => RedisCluster.start());
  electionSuite('RedisDriver, Cluster', () => new RedisDriver({ cluster: cluster.nodes.slice(0, 2) }));
});

describe('on a quorum', () => {
  const servers = useRedisServers(5);
  const create = (): RedlockDriver => new RedlockDriver({ servers: servers.map(({ url }) => url) });
  electionSuite('RedlockDriver, five servers', create, { hasQueue: false });
});

describe('on etcd', () => {
  const cluster = useTopology(() => EtcdCluster.start({ members: 3 }));
  // etcd may end a lease up to a second late.
  const options = { leaseDuration: 3000, failOverMargin: 1500 };
  electionSuite('EtcdDriver, three members', () => new EtcdDriver({ hosts: cluster.hosts }), options);
});
