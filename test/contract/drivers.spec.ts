import { EtcdDriver } from 'nestjs-dist-lock/etcd';
import { MemoryDriver } from 'nestjs-dist-lock/memory';
import { RedisDriver, RedlockDriver } from 'nestjs-dist-lock/redis';
import { driverContract } from 'nestjs-dist-lock/testing';
import { afterAll, beforeAll, beforeEach, describe, it } from 'vitest';
import { EtcdCluster } from '../support/etcd-server.js';
import { RedisServer } from '../support/redis-server.js';
import { RedisCluster, SentinelSet } from '../support/redis-topologies.js';
import { TcpProxy } from '../support/tcp-proxy.js';

describe('MemoryDriver', () => {
  let driver: MemoryDriver;
  beforeEach(() => {
    driver = new MemoryDriver();
  });
  for (const { name, run } of driverContract({ create: () => driver })) it(name, run);
});

describe('RedisDriver', () => {
  let server: RedisServer;
  beforeAll(async () => {
    server = await RedisServer.start();
  });
  afterAll(() => server.stop());
  for (const { name, run } of driverContract({ create: () => new RedisDriver({ url: server.url }) })) it(name, run);
});

describe.each([3, 5])('RedlockDriver on %i servers', (size) => {
  let servers: RedisServer[];
  beforeAll(async () => {
    servers = await Promise.all(Array.from({ length: size }, () => RedisServer.start()));
  });
  afterAll(() => Promise.all(servers.map((server) => server.stop())));
  const create = (): RedlockDriver => new RedlockDriver({ servers: servers.map(({ url }) => url) });
  for (const { name, run } of driverContract({ create })) it(name, run);
});

// Whoever answers first decides, so that what the last one says comes after the answer.
describe('RedlockDriver on 3 servers of which one answers late', () => {
  let servers: RedisServer[];
  let proxy: TcpProxy;
  beforeAll(async () => {
    servers = await Promise.all(Array.from({ length: 3 }, () => RedisServer.start()));
    proxy = await TcpProxy.start(servers[0]!.port);
    proxy.delayReplies(20);
  });
  afterAll(async () => {
    await proxy.close();
    await Promise.all(servers.map((server) => server.stop()));
  });
  const create = (): RedlockDriver =>
    new RedlockDriver({ servers: [`redis://127.0.0.1:${proxy.port}`, ...servers.slice(1).map(({ url }) => url)] });
  const cases = driverContract({ create }).filter(({ name }) => /^facts: tells|repeated|cancel|releases/.test(name));
  for (const { name, run } of cases) it(name, run);
});

describe.each([1, 3] as const)('EtcdDriver, members: %i', (members) => {
  let cluster: EtcdCluster;
  beforeAll(async () => {
    cluster = await EtcdCluster.start({ members });
  });
  afterAll(() => cluster.stop());
  for (const { name, run } of driverContract({ create: () => new EtcdDriver({ hosts: cluster.hosts }) })) it(name, run);
});

describe('RedisDriver with Sentinel', () => {
  let set: SentinelSet;
  beforeAll(async () => {
    set = await SentinelSet.start();
  });
  afterAll(() => set.stop());
  const create = (): RedisDriver => new RedisDriver({ sentinels: set.sentinels, name: set.name });
  for (const { name, run } of driverContract({ create })) it(name, run);
});

describe('RedisDriver on a cluster', () => {
  let cluster: RedisCluster;
  beforeAll(async () => {
    cluster = await RedisCluster.start();
  });
  afterAll(() => cluster.stop());
  const create = (): RedisDriver => new RedisDriver({ cluster: cluster.nodes.slice(0, 2) });
  for (const { name, run } of driverContract({ create })) it(name, run);
});
