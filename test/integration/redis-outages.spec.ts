import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { RedisDriver, RedlockDriver } from 'nestjs-dist-lock/redis';
import { describe, expect, it } from 'vitest';
import { SystemClock } from '../../lib/core/clock.js';
import type { LockDriver } from '../../lib/core/lock-driver.js';
import { LockManager } from '../../lib/locks/lock-manager.js';
import { StoreReports } from '../../lib/nest/store-reports.js';
import { request } from '../support/engine/engine.js';
import { RecordingLogger } from '../support/nest/log.js';
import { RedisServer } from '../support/servers/redis-server.js';
import { TcpProxy } from '../support/servers/tcp-proxy.js';
import { useRedis } from '../support/servers/use-redis.js';

// What an operator reads of connections that end: an outage is one line at its start and one at its end, and nothing else is.

const { server, admin, closing } = useRedis();

interface Application {
  readonly logger: RecordingLogger;
  readonly manager: LockManager;
  /** Takes and gives back a lock. */
  use(): Promise<void>;
}

async function application(driver: LockDriver): Promise<Application> {
  const logger = new RecordingLogger();
  const clock = new SystemClock();
  const reports = new StoreReports(logger, clock);
  const manager = new LockManager({
    driver,
    instance: 'a',
    clock,
    random: Math.random,
    emit: () => undefined,
    onStore: (event) => {
      if (event.type !== 'warning') reports.heard(event);
    },
  });
  closing.push(() => manager.close(0));
  await manager.connect();
  await logger.line('log', /^The lock store is reachable\.$/);
  return { logger, manager, use: async () => (await manager.acquire(request())).release() };
}

/** Lines after the first, which says that the store is reachable. */
const linesOf = ({ logger }: Application): string[] => logger.lines.slice(1).map(({ text }) => text);

async function proxied(port = server.port): Promise<TcpProxy> {
  const proxy = await TcpProxy.start(port);
  closing.push(() => proxy.close());
  return proxy;
}

async function setting(client: Redis, name: string, value: string): Promise<void> {
  const [, before] = await client.config('GET', name);
  closing.push(() => client.config('SET', name, before!));
  await client.config('SET', name, value);
}

const at = (port: number) => ({ host: '127.0.0.1', port });
const killAll = (client: Redis): Promise<unknown> => client.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');

describe('no line, and no failed call, for', () => {
  it('a server that closes idle connections', async () => {
    const proxy = await proxied();
    const one = await application(new RedisDriver(at(proxy.port)));
    await setting(admin, 'timeout', '1');
    const before = proxy.accepted;
    await expect.poll(() => proxy.accepted, { timeout: 15_000 }).toBeGreaterThanOrEqual(before + 3);
    await one.use();
    expect(linesOf(one)).toEqual([]);
  });

  it('connections that are closed from time to time while locks are used', async () => {
    const one = await application(new RedisDriver(at(server.port)));
    for (let round = 0; round < 4; round++) {
      await sleep(1100);
      await killAll(admin);
      for (let call = 0; call < 5; call++) {
        const lock = await one.manager.acquire(request({ limit: { attempts: 2, retryDelay: 1 } }));
        await lock.release();
      }
    }
    expect(linesOf(one)).toEqual([]);
  });

  it('a connection that is closed as it is used first', async () => {
    const proxy = await proxied();
    const one = await application(new RedisDriver(at(proxy.port)));
    await sleep(1100);
    proxy.resetAll();
    await one.use();
    expect(linesOf(one)).toEqual([]);
  });

  it('all servers of Redlock that close idle connections at once', async () => {
    const others = [await RedisServer.start(), await RedisServer.start()];
    closing.push(() => Promise.all(others.map((other) => other.stop())));
    const all = [server, ...others];
    const proxies = await Promise.all(all.map(({ port }) => proxied(port)));
    const one = await application(new RedlockDriver({ servers: proxies.map(({ port }) => at(port)) }));
    await sleep(1100);
    const before = proxies.map(({ accepted }) => accepted);
    for (const proxy of proxies) proxy.resetAll();
    await expect.poll(() => proxies.every(({ accepted }, index) => accepted > before[index]!)).toBe(true);
    await one.use();
    expect(linesOf(one)).toEqual([]);
  });

  it('the fail-over of another group of the sentinels', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'two-groups-'));
    closing.push(() => rmSync(folder, { recursive: true }));
    const [master, replica] = [await RedisServer.start(), await RedisServer.start()];
    closing.push(() => Promise.all([master.stop(), replica.stop()]));
    const follower = new Redis(replica.url);
    closing.push(() => follower.disconnect());
    await follower.replicaof('127.0.0.1', master.port);
    const config = join(folder, 'sentinel.conf');
    writeFileSync(
      config,
      `sentinel monitor locks 127.0.0.1 ${server.port} 1\nsentinel monitor others 127.0.0.1 ${master.port} 1\n`,
    );
    const sentinel = await RedisServer.start({ config });
    closing.push(() => sentinel.stop());
    const orders = new Redis(sentinel.url);
    const ears = new Redis(sentinel.url);
    closing.push(() => [orders, ears].forEach((client) => client.disconnect()));
    await expect.poll(() => orders.call('SENTINEL', 'REPLICAS', 'others'), { timeout: 15_000 }).toHaveLength(1);
    const heard: string[] = [];
    ears.on('message', (_, text: string) => heard.push(text));
    await ears.subscribe('+switch-master');

    const options = { sentinels: [at(sentinel.port)], name: 'locks', connectionName: 'ours' };
    const one = await application(new RedisDriver(options));
    const listening = async (): Promise<number> =>
      ((await orders.call('CLIENT', 'LIST')) as string).split('\n').filter((line) => / sub=1 /.test(line)).length;
    // Ours, for the commands and for the subscriptions, and that of this test.
    await expect.poll(listening).toBe(3);
    const connections = async (): Promise<string[]> => {
      const clients = (await admin.call('CLIENT', 'LIST')) as string;
      return [...clients.matchAll(/^id=(\d+) .* name=ours /gm)].map(([, id]) => id!);
    };
    const before = await connections();
    expect(before).toHaveLength(2);
    // Not before the sentinel has seen the replica in step with its master.
    const order = (): Promise<unknown> => orders.call('SENTINEL', 'FAILOVER', 'others').catch(String);
    await expect.poll(order, { timeout: 15_000, interval: 200 }).toBe('OK');
    await expect.poll(() => heard, { timeout: 15_000 }).toEqual([expect.stringMatching(/^others /)]);
    await one.use();
    expect(await connections()).toEqual(before);
    expect(linesOf(one)).toEqual([]);
  });
});

const OUTAGE = (reason: RegExp): unknown[] => [
  expect.stringMatching(new RegExp(`^The lock store is unreachable\\. Redis at .*${reason.source}`)),
  expect.stringMatching(/^The lock store is reachable again after \d+\.\d s\.$/),
];

describe('two lines for', () => {
  it('a server that is away for a while', async () => {
    const own = await RedisServer.start();
    closing.push(() => own.stop());
    const one = await application(new RedisDriver(at(own.port)));
    await own.kill();
    await one.logger.line('error', /unreachable/);
    const waiting = one.use();
    await sleep(2000);
    await own.restart();
    await waiting;
    await one.logger.line('log', /again/);
    expect(linesOf(one)).toEqual(OUTAGE(/ECONNREFUSED/));
    expect(Number(/after (\d+\.\d) s/.exec(linesOf(one)[1]!)![1])).toBeGreaterThanOrEqual(2);
  });

  it.each([
    ['as INFO says', {}],
    ['as its replies say, where nobody looks at INFO', { enableReadyCheck: false }],
  ])('an endpoint behind which there is a replica now, %s; few connections', async (_, options) => {
    const [own, master] = [await RedisServer.start(), await RedisServer.start()];
    closing.push(() => Promise.all([own.stop(), master.stop()]));
    const orders = new Redis(own.url);
    closing.push(() => orders.disconnect());
    const proxy = await proxied(own.port);
    const one = await application(new RedisDriver({ ...at(proxy.port), ...options }));
    await one.use();
    const before = proxy.accepted;
    await orders.replicaof('127.0.0.1', master.port);
    const waiting = one.manager.acquire(request({ limit: { wait: 30_000 } }));
    await sleep(6000);
    // One second between attempts, at last: 5 in the first second, and one or two in each of the others.
    expect(proxy.accepted - before).toBeLessThanOrEqual(20);
    if (!('enableReadyCheck' in options)) {
      expect(linesOf(one)).toEqual([expect.stringMatching(/unreachable.*READONLY.*connect to the master/)]);
    }
    await orders.replicaof('NO', 'ONE');
    await (await waiting).release();
    await one.logger.line('log', /again/);
    expect(linesOf(one).length).toBeLessThanOrEqual('enableReadyCheck' in options ? 12 : 2);
  });
});

it('a master that becomes a replica under many requests is left once, and no listener stays behind', async () => {
  const own = await RedisServer.start();
  closing.push(() => own.stop());
  const one = await application(new RedisDriver(at(own.port)));
  const warnings: Error[] = [];
  const warned = (warning: Error): void => void warnings.push(warning);
  process.on('warning', warned);
  closing.push(() => process.off('warning', warned));
  const orders = new Redis(own.url);
  closing.push(() => orders.disconnect());
  await orders.replicaof('127.0.0.1', server.port);
  const limit = { attempts: 1, retryDelay: 1 };
  const tries = Array.from({ length: 40 }, (_, index) =>
    one.manager.tryAcquire(request({ storeKey: `test:l:k${index}`, limit })),
  );
  const refused = (await Promise.allSettled(tries)).filter(({ status }) => status === 'rejected');
  expect(refused).toHaveLength(40);
  expect(warnings).toEqual([]);
});
