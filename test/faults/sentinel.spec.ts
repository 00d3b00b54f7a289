import { Redis } from 'ioredis';
import { RedisDriver } from 'nestjs-dist-lock/redis';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Load, type LoadReport } from '../support/load.js';
import { RedisServer } from '../support/redis-server.js';
import { SentinelSet } from '../support/redis-topologies.js';

let resources: RedisServer;
let resource: Redis;
beforeAll(async () => {
  resources = await RedisServer.start();
  resource = new Redis(resources.url);
});
afterAll(async () => {
  resource.disconnect();
  await resources.stop();
});

const none = { duplicateTokens: [], overlaps: [], tokenOrderViolations: [], staleWrites: [] };

describe('under load, a master that Sentinel replaces', () => {
  let set: SentinelSet;
  beforeEach(async () => {
    await resource.flushall();
    set = await SentinelSet.start({ proxied: 'servers' });
  });
  afterEach(() => set.stop());

  const faults = {
    'is killed': (master: RedisServer) => master.kill(),
    'is stopped, and goes on as a replica': async (master: RedisServer) => master.pause(),
    'is cut off from everybody, and comes back as a replica': async (master: RedisServer) =>
      set.proxies[set.servers.indexOf(master)]!.blackhole(),
  };

  async function run(fault: (master: RedisServer) => Promise<void>, gullible = false): Promise<LoadReport> {
    const create = (): RedisDriver =>
      new RedisDriver({
        sentinels: set.sentinels,
        name: set.name,
        commandTimeout: 600,
        socketTimeout: 800,
        replicas: { ack: 'all', timeout: 300 },
      });
    const load = new Load(create, resource, { gullible });
    await load.more(10);
    const master = await set.master();
    await fault(master);
    await set.successorOf(master);
    await load.more(5);
    master.tryResume();
    set.proxies[set.servers.indexOf(master)]!.heal();
    await load.more(20);
    return load.end();
  }

  it.each(Object.entries(faults))('that %s costs seconds, and no promise', async (name, fault) => {
    const report = await run(fault);
    console.log(name, JSON.stringify(report, null, 1));
    expect(report.violations).toEqual(none);
    expect(report.longestGap).toBeLessThan(15_000);
  });
});
