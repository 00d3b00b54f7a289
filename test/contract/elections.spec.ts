import { EtcdDriver } from 'nestjs-dist-lock/etcd';
import { MemoryDriver } from 'nestjs-dist-lock/memory';
import { RedisDriver, RedlockDriver } from 'nestjs-dist-lock/redis';
import { afterAll, beforeAll, describe } from 'vitest';
import { electionSuite } from '../support/election-suite.js';
import { EtcdCluster } from '../support/etcd-server.js';
import { RedisServer } from '../support/redis-server.js';
import { RedisCluster, SentinelSet } from '../support/redis-topologies.js';
import { useRedis } from '../support/use-redis.js';

const memory = new MemoryDriver();
electionSuite('MemoryDriver', () => memory);

const redis = useRedis();
electionSuite('RedisDriver', () => new RedisDriver({ url: redis.server.url }));

describe('with Sentinel', () => {
  let set: SentinelSet;
  beforeAll(async () => {
    set = await SentinelSet.start();
  });
  afterAll(() => set.stop());
  electionSuite('RedisDriver, Sentinel', () => new RedisDriver({ sentinels: set.sentinels, name: set.name }));
});

describe('on a cluster', () => {
  let cluster: RedisCluster;
  beforeAll(async () => {
    cluster = await RedisCluster.start();
  });
  afterAll(() => cluster.stop());
  electionSuite('RedisDriver, Cluster', () => new RedisDriver({ cluster: cluster.nodes.slice(0, 2) }));
});

describe('on a quorum', () => {
  let servers: RedisServer[];
  beforeAll(async () => {
    servers = await Promise.all(Array.from({ length: 5 }, () => RedisServer.start()));
  });
  afterAll(() => Promise.all(servers.map((server) => server.stop())));
  const create = (): RedlockDriver => new RedlockDriver({ servers: servers.map(({ url }) => url) });
  electionSuite('RedlockDriver, five servers', create, { hasQueue: false });
});

describe('on etcd', () => {
  let cluster: EtcdCluster;
  beforeAll(async () => {
    cluster = await EtcdCluster.start({ members: 3 });
  });
  afterAll(() => cluster.stop());
  // etcd may end a lease up to a second late.
  const options = { leaseDuration: 3000, failOverMargin: 1500 };
  electionSuite('EtcdDriver, three members', () => new EtcdDriver({ hosts: cluster.hosts }), options);
});
