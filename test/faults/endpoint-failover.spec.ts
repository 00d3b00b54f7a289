import { createHash, randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import type { Claim, DriverEvent } from 'nestjs-dist-lock';
import { RedisDriver } from 'nestjs-dist-lock/redis';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { Script } from '../../lib/drivers/redis/commands/script-call.js';
import { SingleServer } from '../../lib/drivers/redis/connection/single-server.js';
import { scripts } from '../../lib/drivers/redis/scripts/scripts.generated.js';
import { Election } from '../../lib/leader/election.js';
import { LeaderService } from '../../lib/leader/leader.service.js';
import { ELECTION } from '../support/engine/candidate.js';
import { request } from '../support/engine/engine.js';
import { RealEngine } from '../support/engine/real-engine.js';
import { RedisEndpoint } from '../support/servers/redis-endpoint.js';
import { useRedis } from '../support/servers/use-redis.js';
import { useClosing, useTopology } from '../support/servers/use-topology.js';
import { Load, type LoadReport } from './load.js';

/** Milliseconds between two looks of a subscriber at its connection. */
const CHECK = 1500;
const none = { duplicateTokens: [], overlaps: [], tokenOrderViolations: [], staleWrites: [] };

/**
 * Subscriptions stay where they are, as those of a client that does not know that commands moved. With the script of then,
 * too, that frees a lease whose grant nobody received, that client had two holders.
 */
function staying(): void {
  vi.spyOn(SingleServer.prototype, 'hasSubscriber').mockResolvedValue(true);
}

/** Publishes, and takes the lease back when nobody is said to have received it. */
function withOldRule(lua: string): string {
  return lua
    .replace(/return listeners\.err ~= nil or listeners\[2\] > 0/, 'return true')
    .replace(
      /redis\.pcall\('PUBLISH', inbox, (table\.concat\(\{ 'granted'.*?, ' '\))\)\n\s+return holder, token, tokens/,
      "if redis.call('PUBLISH', inbox, $1) > 0 then return holder, token, tokens end\nredis.call('DEL', LEASE)",
    );
}

function byOldRule(): void {
  staying();
  const sources: Record<string, Script> = scripts;
  for (const name of ['acquire', 'release', 'cancel']) {
    const lua = withOldRule(sources[name]!.lua);
    expect(lua.match(/return true$|redis\.call\('PUBLISH', inbox/gm)).toHaveLength(3);
    vi.spyOn(sources, name, 'get').mockReturnValue({ lua, sha: createHash('sha1').update(lua).digest('hex') });
  }
}

const figures = (...what: unknown[]): void => {
  if (process.env['FAULT_FIGURES']) console.log(expect.getState().currentTestName, ...what);
};

const endpoint = useTopology(() => RedisEndpoint.start());
afterEach(() => endpoint.clear());
afterEach(() => {
  vi.restoreAllMocks();
});
const closing = useClosing();

const newDriver = (): RedisDriver => new RedisDriver({ url: endpoint.url, socketTimeout: CHECK });

function engine(id: string): RealEngine {
  const created = new RealEngine(newDriver(), id);
  closing.push(() => created.manager.close(0));
  return created;
}

// Rule S10 of docs/internals/safety.md.
describe('a grant that is pushed after a planned fail-over behind one name', () => {
  const KEYS = 40;

  interface Outcome {
    pushed: number;
    /** Of those. */
    notInStore: number;
    /** Claims whose next request was granted. */
    granted: number;
  }

  /** One driver holds many locks, another waits for all of them, and then they are released where commands go now. */
  async function releaseAll(follows = false): Promise<Outcome> {
    const drivers = [newDriver(), newDriver()] as const;
    const events: DriverEvent[] = [];
    const listener = (event: DriverEvent): void => void events.push(event);
    for (const driver of drivers) {
      await driver.connect(listener);
      closing.push(() => driver.close(listener));
    }
    const [holder, waiter] = drivers;
    const claims = (instance: string): Claim[] =>
      Array.from({ length: KEYS }, (_, index) => {
        return { key: `test:l:k${index}`, holder: randomUUID(), ttl: 30_000, instance, metadata: {} };
      });
    const [held, waiting] = [claims('holder'), claims('waiter')];
    for (const claim of held) expect((await holder.acquire(claim, 'try')).status).toBe('granted');
    for (const claim of waiting) expect((await waiter.acquire(claim, 'queue')).status).toBe('queued');
    await endpoint.failOver();
    const store = new Redis(endpoint.primary.url);
    closing.push(() => store.disconnect());
    if (follows) {
      // What a waiter says with each heartbeat is refused there, which tells that commands belong elsewhere.
      await waiter.acquire(waiting[0]!, 'queue').catch(() => undefined);
      await expect.poll(() => store.pubsub('CHANNELS', 'test:i:*'), { timeout: 5000 }).toHaveLength(1);
    }
    for (const claim of held) await vi.waitFor(() => holder.release(claim), 5000);
    await sleep(250);
    const grants = events.filter((event) => event.type === 'granted');
    let notInStore = 0;
    for (const { key, holder: name, fencingToken } of grants) {
      const lease = await store.get(`{${key}}`);
      if (!lease?.startsWith(`${name} ${fencingToken} `)) notInStore++;
    }
    let granted = 0;
    for (const claim of waiting) {
      if ((await vi.waitFor(() => waiter.acquire(claim, 'queue'), 5000)).status === 'granted') granted++;
    }
    const outcome = { pushed: grants.length, notInStore, granted };
    figures(outcome);
    return outcome;
  }

  it('is in the store, and the subscription has followed', async () => {
    expect(await releaseAll(true)).toEqual({ pushed: KEYS, notInStore: 0, granted: KEYS });
  });

  it('is in the store, or was never sent, while the subscription is at the replica', async () => {
    staying();
    expect(await releaseAll()).toEqual({ pushed: 0, notInStore: 0, granted: KEYS });
  });

  it('control: is not in the store where it is taken back when PUBLISH counts nobody', async () => {
    byOldRule();
    const { pushed, notInStore } = await releaseAll();
    expect(pushed).toBe(KEYS);
    expect(notInStore).toBe(KEYS);
  });
});

describe('a planned fail-over behind one name under load', () => {
  const { admin: resource } = useRedis();

  async function run(fault: () => Promise<void>, more: number): Promise<LoadReport> {
    await resource.flushall();
    const load = new Load(newDriver, resource, { instances: 4, keys: 12, ttl: 900 });
    await load.more(3);
    await fault();
    await load.more(more);
    const report = await load.end();
    figures(JSON.stringify({ ...report, violations: report.violations.overlaps.length }));
    return report;
  }

  const plannedFailOver = (): Promise<void> => endpoint.failOver();
  const inTurn = async (): Promise<void> => {
    endpoint.proxy.leadTo(endpoint.replica.port, endpoint.primary.port);
    endpoint.proxy.resetAll();
  };

  it.each([
    ['where connections stay open', plannedFailOver],
    ['where connections are closed', () => plannedFailOver().then(() => endpoint.proxy.resetAll())],
    ['where the name leads to the primary and the replica in turn', inTurn],
  ])('gives no lock to two %s', async (_, fault) => {
    expect((await run(fault, 5)).violations).toEqual(none);
  });

  it('gives no lock to two while subscriptions stay at the replica', async () => {
    staying();
    expect((await run(plannedFailOver, 5)).violations).toEqual(none);
  });

  it.each([
    ['connections stay open', plannedFailOver],
    ['the name leads to the primary and the replica in turn', inTurn],
  ])('control: by the old rule two hold one lock where %s', async (_, fault) => {
    byOldRule();
    staying();
    const report = await run(fault, 3);
    expect(report.violations.overlaps.length).toBeGreaterThan(0);
  });
});

describe('a subscription', () => {
  const wish = request({ ttl: 30_000, limit: { wait: 60_000 } });

  /** Milliseconds until one who waits is told again of a release. */
  async function deafFor(holder: RealEngine, waiter: RealEngine, since: number): Promise<number> {
    for (;;) {
      const held = await holder.manager.acquire(wish);
      const waiting = waiter.manager.acquire(wish);
      await expect.poll(async () => (await holder.manager.inspect(wish.storeKey))!.waiters, { timeout: 5000 }).toBe(1);
      const releasedAt = performance.now();
      await held.release();
      const lock = await waiting;
      const took = performance.now() - releasedAt;
      await lock.release();
      // A waiter that is not told finds out by a poll, after 375 to 625 ms.
      if (took < 200) return releasedAt - since;
    }
  }

  it('follows the commands to the new primary within one check', async () => {
    const [holder, waiter] = [engine('holder'), engine('waiter')];
    await deafFor(holder, waiter, 0);
    await endpoint.failOver();
    const deaf = await deafFor(holder, waiter, performance.now());
    figures('deaf for', deaf);
    expect(deaf).toBeLessThan(CHECK);
  });

  it('finds the server of the commands where the name leads to the primary and the replica in turn', async () => {
    endpoint.proxy.leadTo(endpoint.primary.port, endpoint.replica.port);
    const [holder, waiter] = [engine('holder'), engine('waiter')];
    const deaf = await deafFor(holder, waiter, performance.now());
    figures('deaf for', deaf);
    expect(deaf).toBeLessThan(2 * CHECK);
  });

  it('that finds it nowhere is told of, and waiters go on by asking', async () => {
    vi.spyOn(SingleServer.prototype, 'hasSubscriber').mockResolvedValue(false);
    const [holder, waiter] = [engine('holder'), engine('waiter')];
    const held = await holder.manager.acquire(wish);
    const waiting = waiter.manager.acquire(wish);
    await waiter.event('contended');
    await waiter.warning(/leads to several servers.*Let the address lead to the primary only/);
    await held.release();
    await (await waiting).release();
    expect(waiter.warnings.filter((warning) => warning.includes('several servers'))).toHaveLength(1);
  });
});

describe('leaders at a planned fail-over behind one name', () => {
  /** How many led at once, at most, after the leader resigned. */
  async function mostLeaders(): Promise<number> {
    let most = 0;
    const leading = new Set<string>();
    const candidates = ['a', 'b', 'c', 'd'].map((id) => {
      const { manager } = engine(id);
      // Who resigned stays out for two heartbeats of the others: those whom no message reaches ask meanwhile.
      const settings = { ...ELECTION, leaseDuration: 6000, renewDeadline: 4000, retryPeriod: 2000 };
      const leader = new LeaderService(
        (changed, report) =>
          new Election(manager, { id, metadata: {} }, settings, { changed, report, problem: () => undefined }),
      );
      leader.isLeader$.subscribe((isLeader) => {
        if (isLeader) leading.add(id);
        else leading.delete(id);
        most = Math.max(most, leading.size);
      });
      return { manager, leader, id };
    });
    for (const { manager, leader } of candidates) {
      await manager.connect();
      leader.start();
      closing.push(() => leader.stop());
    }
    const leaderId = (): string | undefined => (leading.size === 1 ? [...leading][0] : undefined);
    await expect.poll(leaderId, { timeout: 5000 }).toBeDefined();
    const [first] = leading;
    // All the others wait in line.
    const { manager, leader } = candidates.find(({ id }) => id === first)!;
    await expect.poll(async () => (await manager.inspect(ELECTION.storeKey))!.waiters, { timeout: 5000 }).toBe(3);
    await endpoint.failOver();
    await leader.resign();
    await expect.poll(() => leading.size > 0 && !leading.has(first!), { timeout: 10_000 }).toBe(true);
    await sleep(500);
    figures('leaders', most);
    return most;
  }

  it('are one, after a resignation', async () => {
    expect(await mostLeaders()).toBe(1);
  });

  it('control: by the old rule they are several', async () => {
    byOldRule();
    expect(await mostLeaders()).toBeGreaterThan(1);
  });
});
