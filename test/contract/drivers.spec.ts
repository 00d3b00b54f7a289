import { EtcdDriver } from 'nestjs-dist-lock/etcd';
import { MemoryDriver } from 'nestjs-dist-lock/memory';
import { RedisDriver, RedlockDriver } from 'nestjs-dist-lock/redis';
import { driverContract } from 'nestjs-dist-lock/testing';
import { afterAll, beforeAll, beforeEach, describe, it } from 'vitest';
import { EtcdCluster } from '../support/servers/etcd-server.js';
import { RedisServer } from '../support/servers/redis-server.js';
import { RedisCluster, SentinelSet } from '../support/servers/redis-topologies.js';
import { TcpProxy } from '../support/servers/tcp-proxy.js';
import { useRedisServers } from '../support/servers/use-redis.js';
import { useTopology } from '../support/servers/use-topology.js';

// Rules S4, S6 and S7 of docs/internals/safety.md, on every driver.

describe('MemoryDriver', () => {
  let driver: MemoryDriver;
  beforeEach(() => {
    driver = new MemoryDriver();
  });
  for (const { name, run } of driverContract({ create: () => driver })) it(name, run);
});

describe('RedisDriver', () => {
  const server = useTopology(() => RedisServer.start());
  for (const { name, run } of driverContract({ create: () => new RedisDriver({ url: server.url }) })) it(name, run);
});

describe.each([3, 5])('RedlockDriver on %i servers', (size) => {
  const servers = useRedisServers(size);
  const create = (): RedlockDriver => new RedlockDriver({ servers: servers.map(({ url }) => url) });
  for (const { name, run } of driverContract({ create })) it(name, run);
});

// Whoever answers first decides, so that what the last one says comes after the answer.
describe('RedlockDriver on 3 servers of which one answers late', () => {
  const servers = useRedisServers(3);
  let proxy: TcpProxy;
  beforeAll(async () => {
    proxy = await TcpProxy.start(servers[0]!.port);
    proxy.delayReplies(20);
  });
  afterAll(() => proxy.close());
  const create = (): RedlockDriver =>
    new RedlockDriver({ servers: [`redis://127.0.0.1:${proxy.port}`, ...servers.slice(1).map(({ url }) => url)] });
  const cases = driverContract({ create }).filter(({ name }) => /^facts: tells|repeated|cancel|releases/.test(name));
  for (const { name, run } of cases) it(name, run);
});

describe.each([1, 3] as const)('EtcdDriver, members: %i', (members) => {
  const cluster = useTopology(() => EtcdCluster.start({ members }));
  for (const { name, run } of driverContract({ create: () => new EtcdDriver({ hosts: cluster.hosts }) })) it(name, run);
});

describe('RedisDriver with Sentinel', () => {
  const set = useTopology(() => SentinelSet.start());
  const create = (): RedisDriver => new RedisDriver({ sentinels: set.sentinels, name: set.name });
  for (const { name, run } of driverContract({ create })) it(name, run);
});

describe('RedisDriver on a cluster', () => {
  const cluster = useTopology(() => RedisCluster.start());
  const create = (): RedisDriver => new RedisDriver({ cluster: cluster.nodes.slice(0, 2) });
  for (const { name, run } of driverContract({ create })) it(name, run);
});
