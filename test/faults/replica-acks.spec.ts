import { Redis } from 'ioredis';
import { DriverUnavailableError } from 'nestjs-dist-lock';
import { RedisDriver, type RedisDriverOptions } from 'nestjs-dist-lock/redis';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { LockHandle } from '../../lib/locks/lock.js';
import { request } from '../support/engine/engine.js';
import { RealEngine } from '../support/engine/real-engine.js';
import { FencedResource } from '../support/history/fenced-resource.mjs';
import { SentinelSet } from '../support/servers/redis-topologies.js';
import { useRedis } from '../support/servers/use-redis.js';

/** 12 by hand, with 20 locks each. */
const KILLS = Number(process.env['FAULT_KILLS'] ?? 1);
const LOCKS = 20;
const TTL = 8000;

interface Trials {
  locks: number;
  /** Locks that were granted a second time within the TTL of the first grant. */
  doubles: number;
  /** Those of them whose first holder knew by then, because it asked the new master at once. */
  noticed: number;
  /** Locks that were held, and renewed, before the master was killed and after. */
  survived: number;
  staleWrites: number;
  refused: number;
}

const { admin: resource } = useRedis();

const name = (key: string): string => `acks:l:${key}`;

function engine(set: SentinelSet, instance: string, options: Partial<RedisDriverOptions> = {}): RealEngine {
  const driver = new RedisDriver({ sentinels: set.sentinels, name: set.name, ...options });
  const created = new RealEngine(driver, instance);
  onTestFinished(() => created.manager.close(0));
  return created;
}

async function acquired(one: RealEngine, key: string, wait = 10_000): Promise<LockHandle | undefined> {
  const limit = wait > 0 ? { wait } : { attempts: 1, retryDelay: 1 };
  return one.manager.acquire(request({ key, storeKey: name(key), ttl: TTL, limit })).catch(() => undefined);
}

/** Kills a master whose replicas lag, with locks that are held for long and locks that it has just granted. */
async function killMaster(options: Partial<RedisDriverOptions>, trials: Trials): Promise<void> {
  await resource.flushall();
  const set = await SentinelSet.start({ proxied: 'replication' });
  onTestFinished(() => set.stop());
  const [first, second] = [engine(set, 'first', options), engine(set, 'second', options)];
  await Promise.all([first.manager.connect(), second.manager.connect()]);
  const keys = (kind: string): string[] => Array.from({ length: LOCKS / 2 }, (_, index) => `${kind}-${index}`);
  const held = await Promise.all(keys('held').map((key) => acquired(first, key)));
  await first.event('renewed');
  const master = await set.master();
  await set.followProxies();
  // Longer than it takes to kill it, and short enough for acknowledgements.
  for (const proxy of set.proxies) proxy.delayReplies(200);
  const fresh = await Promise.all(keys('fresh').map((key) => acquired(first, key)));
  await master.kill();
  // What was still under way to the replicas is lost with the machine.
  for (const proxy of set.proxies) proxy.refuse();

  const believed = [...held, ...fresh].filter((lock) => lock !== undefined);
  expect(believed).toHaveLength(LOCKS);
  trials.locks += believed.length;
  await set.successorOf(master);
  await second.store('up');
  await Promise.all(
    believed.map(async (lock) => {
      const other = await acquired(second, lock.key, 2000);
      if (other) trials.doubles++;
      if (other && !lock.held) trials.noticed++;
      const log = new FencedResource(resource, lock.key);
      if (other) await log.write(other.fencingToken, 'second');
      if (!(await log.write(lock.fencingToken, 'first'))) trials.refused++;
      const accepted = await log.log();
      if (accepted.some((token, index) => token < (accepted[index - 1] ?? 0))) trials.staleWrites++;
    }),
  );
  trials.survived += held.filter((lock) => lock?.held).length;
}

async function run(options: Partial<RedisDriverOptions>): Promise<Trials> {
  const trials: Trials = { locks: 0, doubles: 0, noticed: 0, survived: 0, staleWrites: 0, refused: 0 };
  for (let kill = 0; kill < KILLS; kill++) await killMaster(options, trials);
  if (process.env['FAULT_FIGURES']) console.log(JSON.stringify(options), JSON.stringify(trials));
  return trials;
}

describe('a master that is killed before its replicas have its last grants', () => {
  it('grants nothing twice when all replicas had to acknowledge, and long holds go on', async () => {
    const trials = await run({ replicas: { ack: 'all' } });
    expect(trials.doubles).toBe(0);
    expect(trials.refused).toBe(0);
    expect(trials.survived).toBe((KILLS * LOCKS) / 2);
  }, 600_000);

  it('control: without acknowledgements it does, and the resource refuses the one with the smaller token', async () => {
    const trials = await run({});
    expect(trials.doubles).toBeGreaterThan(0);
    expect(trials.refused).toBe(trials.doubles);
    expect(trials.staleWrites).toBe(0);
  }, 600_000);
});

describe('acknowledgements', () => {
  it('that do not come make a lock unavailable, and nothing is left of it', async () => {
    const set = await SentinelSet.start();
    onTestFinished(() => set.stop());
    const one = engine(set, 'one', { replicas: { ack: 2, timeout: 200 } });
    const lock = await one.manager.acquire(request({ ttl: 3000 }));
    const master = await set.master();
    set.servers.find((server) => server !== master)!.pause();
    const refused = one.manager.acquire(request({ storeKey: 'test:l:other', limit: { attempts: 1, retryDelay: 1 } }));
    await expect(refused).rejects.toThrow(DriverUnavailableError);
    await expect(refused).rejects.toThrow(/1 of the 2 replicas that `replicas.ack` asks for confirmed within 200 ms/);
    await expect.poll(() => one.manager.inspect('test:l:other')).toBeNull();
    // Renewals do not count either.
    expect(await one.event('lost')).toMatchObject({ key: 'k', reason: 'expired' });
    expect(lock.held).toBe(false);
  }, 60_000);

  it('make a lease that was handed over count only when they have come', async () => {
    const set = await SentinelSet.start();
    onTestFinished(() => set.stop());
    const [first, second] = [0, 1].map((index) => engine(set, `i${index}`, { replicas: { ack: 'majority' } }));
    const held = await first!.manager.acquire(request({ ttl: 30_000 }));
    const waiting = second!.manager.acquire(request({ ttl: 30_000 }));
    await second!.event('contended');
    const waits = async (): Promise<number> => {
      const client = new Redis((await set.master()).url);
      const info = await client.info('commandstats').finally(() => client.disconnect());
      return Number(/cmdstat_wait:calls=(\d+)/.exec(info)?.[1]);
    };
    const before = await waits();
    await held.release();
    const lock = await waiting;
    expect(await waits()).toBeGreaterThan(before);
    // Armed by its new holder's own request, for the whole TTL.
    expect(lock.remaining).toBeGreaterThan(29_000);
  }, 60_000);
});
