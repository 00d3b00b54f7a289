import { EtcdDriver } from 'nestjs-dist-lock/etcd';
import { RedisDriver } from 'nestjs-dist-lock/redis';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { Claim, LockDriver } from '../../lib/core/lock-driver.js';
import { CheckedDriver } from '../../lib/locks/checked-driver.js';
import { request } from '../support/engine/engine.js';
import { detachNothing, leavesNoFrame } from '../support/engine/frames.js';
import { RealEngine } from '../support/engine/real-engine.js';
import { useEtcd } from '../support/servers/use-etcd.js';
import { useRedis } from '../support/servers/use-redis.js';

const LONG = 60_000;
const NOTHING = (): void => undefined;
const SCOPE = 'test:m:default';

const redis = useRedis();
const etcd = useEtcd();
const drivers = {
  redis: () => new RedisDriver({ url: redis.server.url }),
  etcd: () => new EtcdDriver({ hosts: etcd.cluster.hosts }),
};

const ending: (() => unknown)[] = [];
afterEach(async () => {
  vi.restoreAllMocks();
  for (const end of ending.splice(0).toReversed()) await end();
});

function claim(holder: string): Claim {
  return { key: 'test:l:k', holder, ttl: LONG, instance: 'other', metadata: {} };
}

async function connected(driver: LockDriver): Promise<LockDriver> {
  await driver.connect(NOTHING);
  ending.push(() => driver.close(NOTHING));
  return driver;
}

function engine(driver: LockDriver): RealEngine {
  const created = new RealEngine(driver);
  ending.push(() => created.manager.close(0));
  return created;
}

/** Work of a guarded call with a driver; `before` runs outside of the call. */
interface Use {
  readonly before?: (driver: LockDriver) => Promise<unknown>;
  readonly inside: (driver: LockDriver) => Promise<unknown>;
}

const uses: Record<string, Use> = {
  'the first connection of an instance, and a lock that it renews': {
    inside: (driver) => engine(driver).manager.acquire(request({ ttl: LONG })),
  },
  'the first connection of a driver': { inside: connected },
  'the first lock of a driver': {
    before: connected,
    inside: (driver) => driver.acquire(claim('a'), 'try'),
  },
  'a place in a queue': {
    before: async (driver) => (await connected(driver)).acquire(claim('a'), 'try'),
    inside: (driver) => driver.acquire(claim('b'), 'queue'),
  },
  'a renewal': {
    before: async (driver) => (await connected(driver)).acquire(claim('a'), 'try'),
    inside: (driver) => driver.renew([claim('a')]),
  },
  'a release': {
    before: async (driver) => (await connected(driver)).acquire(claim('a'), 'try'),
    inside: (driver) => driver.release(claim('a')),
  },
  'a cancelled claim': { before: connected, inside: (driver) => driver.cancel(claim('a')) },
  'a look at a lock': { before: connected, inside: (driver) => driver.inspect('test:l:k') },
  'a fact': { before: connected, inside: (driver) => driver.facts!.put(SCOPE, 'id', 'value', LONG) },
  'the watch over facts': {
    before: connected,
    inside: async (driver) => void ending.push(driver.facts!.watch(SCOPE, NOTHING)),
  },
  'a number': { before: connected, inside: (driver) => driver.facts!.advance(SCOPE, 'id', 1, 'by', LONG) },
};

/** The uses that open a connection, a stream or a subscription, and keep it. */
const OPENING: Record<string, readonly string[]> = {
  redis: Object.keys(uses).slice(0, 3),
  etcd: [...Object.keys(uses).slice(0, 3), 'a renewal'],
};

describe.each(Object.entries(drivers))('after a guarded call has ended, with %s', (name, create) => {
  it.each(Object.entries(uses))('%s keeps no frame of it', async (_, { before, inside }) => {
    const driver = new CheckedDriver(create());
    await before?.(driver);
    expect(await leavesNoFrame(() => inside(driver))).toBe(true);
  });

  it.each(OPENING[name]!)('%s would keep it, were nothing detached', async (use) => {
    const { before, inside } = uses[use]!;
    const driver = new CheckedDriver(create());
    await before?.(driver);
    detachNothing();
    expect(await leavesNoFrame(() => inside(driver))).toBe(false);
  });
});

describe('after a guarded call has ended, with a connection to Redis that had just broken', () => {
  const afterBreak = async (): Promise<boolean> => {
    const driver = await connected(new CheckedDriver(drivers.redis()));
    await redis.admin.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
    return leavesNoFrame(() => vi.waitFor(() => driver.inspect('test:l:k')));
  };

  it('the new connection keeps no frame of it', async () => {
    expect(await afterBreak()).toBe(true);
  });
});
