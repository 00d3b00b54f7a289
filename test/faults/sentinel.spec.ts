import { RedisDriver } from 'nestjs-dist-lock/redis';
import { afterEach, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { request } from '../support/engine/engine.js';
import { RealEngine } from '../support/engine/real-engine.js';
import { RedisServer } from '../support/servers/redis-server.js';
import { SentinelSet } from '../support/servers/redis-topologies.js';
import { TcpProxy } from '../support/servers/tcp-proxy.js';
import { useRedis } from '../support/servers/use-redis.js';
import { Load, type LoadReport } from './load.js';

const none = { duplicateTokens: [], overlaps: [], tokenOrderViolations: [], staleWrites: [] };

describe('a master under load that Sentinel replaces', () => {
  const { admin: resource } = useRedis();
  let set: SentinelSet;
  beforeEach(async () => {
    set = await SentinelSet.start({ proxied: 'servers' });
  });
  afterEach(() => set.stop());

  async function run(fault: (master: RedisServer) => Promise<void> | void, gullible = false): Promise<LoadReport> {
    const options = { sentinels: set.sentinels, name: set.name, commandTimeout: 600, socketTimeout: 800 };
    const create = (): RedisDriver => new RedisDriver({ ...options, replicas: { ack: 'all', timeout: 300 } });
    const load = new Load(create, resource, { gullible });
    await load.more(10);
    const master = await set.master();
    await fault(master);
    await set.successorOf(master);
    await load.more(5);
    master.tryResume();
    set.proxies[set.servers.indexOf(master)]!.heal();
    await load.more(10);
    const report = await load.end();
    if (process.env['FAULT_FIGURES']) console.log(expect.getState().currentTestName, JSON.stringify(report));
    return report;
  }

  it('because it was killed costs seconds, and no promise', async () => {
    const report = await run((master) => master.kill());
    expect(report.violations).toEqual(none);
    expect(report.longestGap).toBeLessThan(15_000);
  }, 60_000);

  it('because it was stopped, and which goes on as a replica, costs seconds, and no promise', async () => {
    const report = await run((master) => master.pause());
    expect(report.violations).toEqual(none);
    expect(report.longestGap).toBeLessThan(15_000);
  }, 60_000);

  it('because nobody reaches it, and which comes back as a replica, costs seconds, and no promise', async () => {
    const report = await run((master) => set.proxies[set.servers.indexOf(master)]!.blackhole());
    expect(report.violations).toEqual(none);
    expect(report.longestGap).toBeLessThan(15_000);
  }, 60_000);

  it('control: holders that do not look at the clock are convicted by the history, and by the resource', async () => {
    const report = await run((master) => master.pause(), true);
    expect(report.violations.overlaps.length + report.refused).toBeGreaterThan(0);
    expect(report.violations.staleWrites).toEqual([]);
  }, 60_000);
});

// ioredis gives up for good then, if nobody tells it to go on: answers that take their time make that likely.
it('clients that hear of the fail-over while they look for the new master find it', async () => {
  const set = await SentinelSet.start();
  onTestFinished(() => set.stop());
  const proxies = await Promise.all(set.sentinels.map(({ port }) => TcpProxy.start(port)));
  onTestFinished(async () => void (await Promise.all(proxies.map((proxy) => proxy.close()))));
  const sentinels = proxies.map(({ port }) => ({ host: '127.0.0.1', port }));
  const engines = Array.from({ length: 6 }, (_, index) => {
    const engine = new RealEngine(new RedisDriver({ sentinels, name: set.name, updateSentinels: false }), `i${index}`);
    onTestFinished(() => engine.manager.close(0));
    return engine;
  });
  await Promise.all(engines.map(({ manager }) => manager.connect()));
  for (const proxy of proxies) proxy.delayReplies(300);
  const master = await set.master();
  await master.kill();
  await set.successorOf(master);
  for (const [index, { manager }] of engines.entries()) {
    const lock = await manager.acquire(
      request({ key: `k${index}`, storeKey: `test:l:k${index}`, limit: { wait: 30_000 } }),
    );
    await lock.release();
  }
}, 60_000);
