import { MemoryDriver } from 'nestjs-dist-lock/memory';
import { RedisDriver } from 'nestjs-dist-lock/redis';
import { driverContract } from 'nestjs-dist-lock/testing';
import { afterAll, beforeAll, beforeEach, describe, it } from 'vitest';
import { RedisServer } from '../support/redis-server.js';
import { RedisCluster, SentinelSet } from '../support/redis-topologies.js';

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
