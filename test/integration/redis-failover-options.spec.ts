import { Cluster, Redis } from 'ioredis';
import { LockConfigError } from 'nestjs-dist-lock';
import { RedisDriver, type RedisDriverOptions } from 'nestjs-dist-lock/redis';
import { describe, expect, it, vi } from 'vitest';
import { documentedUser } from '../package/pages.js';
import { request } from '../support/engine/engine.js';
import { RealEngine } from '../support/engine/real-engine.js';
import { RedisServer } from '../support/servers/redis-server.js';
import { TcpProxy } from '../support/servers/tcp-proxy.js';
import { useRedis } from '../support/servers/use-redis.js';

const redis = useRedis();

function engine(options: Partial<RedisDriverOptions> = {}, url = redis.server.url): RealEngine {
  const created = new RealEngine(new RedisDriver({ url, ...options }));
  redis.closing.push(() => created.manager.close(0));
  return created;
}

const once = { attempts: 1, retryDelay: 1 };

describe('options that do not fit are refused, with the repair', () => {
  const url = 'redis://localhost';
  const nodes = [{ host: 'localhost', port: 6379 }];
  it.each<[string, object, RegExp]>([
    ['sentinels without a name', { sentinels: nodes }, /`name` is missing/],
    ['no sentinels', { sentinels: [], name: 'x' }, /`sentinels` must be a list/],
    ['a replica by Sentinel', { sentinels: nodes, name: 'x', role: 'slave' }, /`role` must be left out/],
    ['a URL and sentinels', { url, sentinels: nodes, name: 'x' }, /`url` and `sentinels` exclude each other/],
    ['a cluster without nodes', { cluster: [] }, /`cluster` must be a list of nodes/],
    ['a cluster and a database', { cluster: nodes, db: 1 }, /`db` has no meaning beside `cluster`: leave it out/],
    ['a database of a cluster', { cluster: nodes, redisOptions: { db: 1 } }, /a cluster has database 0 only/],
    ['a password beside a cluster', { cluster: nodes, password: 'x' }, /put it into `redisOptions`/],
    ['a prefix of a cluster', { cluster: nodes, redisOptions: { keyPrefix: 'x' } }, /Use the `namespace` option/],
    ['an unknown rule', { url, replicas: { ack: 'some' } }, /replicas.ack: expected a number of replicas/],
    ['a negative number', { url, replicas: { ack: -1 } }, /replicas.ack: expected a number of replicas/],
    ['an unknown name', { url, replicas: { acks: 1 } }, /replicas.acks: unknown option. Known: ack, timeout/],
    [
      'a timeout alone',
      { url, replicas: { timeout: '1s' } },
      /replicas.timeout: has no effect without replicas.ack. Set replicas.ack/,
    ],
    [
      'a timeout as long as that of a command',
      { url, commandTimeout: 500, replicas: { ack: 1, timeout: 500 } },
      /replicas.timeout: 500 ms is not less than commandTimeout \(500 ms\)/,
    ],
    ['no duration', { url, failoverQuarantine: 'long' }, /failoverQuarantine: "long" is not a duration/],
    [
      'several at once',
      { cluster: [], replicas: { ack: 'x' } },
      /`cluster` must be a list.*replicas.ack: expected a number/,
    ],
  ])('%s', (_, options, message) => {
    expect(() => new RedisDriver(options as never)).toThrow(LockConfigError);
    expect(() => new RedisDriver(options as never)).toThrow(message);
  });

  it("a prefix of a user's cluster client", () => {
    const client = new Cluster(nodes, { lazyConnect: true, redisOptions: { keyPrefix: 'app:' } });
    expect(() => new RedisDriver({ client })).toThrow(/keyPrefix/);
  });
});

describe('a connection on which nothing is said', () => {
  it('is replaced when its other end is gone', async () => {
    const proxy = await TcpProxy.start(redis.server.port);
    redis.closing.push(() => proxy.close());
    const one = engine({ commandTimeout: 300, socketTimeout: 400 }, `redis://127.0.0.1:${proxy.port}`);
    await (await one.manager.acquire(request())).release();
    const before = proxy.accepted;
    proxy.blackhole();
    await expect.poll(() => proxy.accepted, { timeout: 5000 }).toBeGreaterThan(before);
  });

  it('control: ioredis alone does not notice, with the same timeouts', async () => {
    const proxy = await TcpProxy.start(redis.server.port);
    redis.closing.push(() => proxy.close());
    const plain = new Redis({ port: proxy.port, commandTimeout: 300, socketTimeout: 400 });
    redis.closing.push(() => plain.disconnect());
    await plain.subscribe('channel');
    proxy.blackhole();
    await new Promise((resolve) => setTimeout(resolve, 2000));
    expect(plain.status).toBe('ready');
    expect(proxy.accepted).toBe(1);
  });
});

describe('replicas.ack', () => {
  /** Longer than a test. */
  const ttl = 60_000;

  it('gives back what was granted when the question for its replicas was not sent any more', async () => {
    const one = engine({ replicas: { ack: 1, timeout: 300 } });
    await one.manager.connect();
    const { wait } = Redis.prototype;
    let waits = 0;
    const spy = vi.spyOn(Redis.prototype, 'wait').mockImplementation(async function (this: Redis, ...args: unknown[]) {
      if (++waits === 2) {
        // The answers to all that was sent have come.
        await this.ping();
        this.stream.destroy();
      }
      return (wait as (...args: unknown[]) => Promise<number>).apply(this, args);
    });
    redis.closing.push(() => spy.mockRestore());
    // The next question waits until the first was answered.
    const first = one.manager.acquire(request({ ttl, limit: once }));
    first.catch(() => undefined);
    await expect.poll(() => waits).toBe(1);
    const second = one.manager.acquire(request({ key: 'second', storeKey: 'test:l:second', ttl, limit: once }));
    await expect(second).rejects.toThrow(/the connection is broken/);
    expect(waits).toBe(2);
    await expect(second).rejects.toMatchObject({ code: 'DRIVER_UNAVAILABLE', sent: true });
    await expect.poll(() => redis.admin.keys('*l:second}'), { timeout: 5000 }).toEqual([]);
  });

  it('names the permission that it needs, and leaves nothing behind', async () => {
    const { name, password, namespace, rules } = documentedUser();
    await redis.admin.acl('SETUSER', name, ...rules);
    redis.closing.push(() => redis.admin.acl('DELUSER', name));
    const one = engine({ username: name, password, replicas: { ack: 1 } });
    const refused = one.manager.acquire(request({ storeKey: `${namespace}:l:k`, ttl, limit: once }));
    await expect(refused).rejects.toThrow(/'wait' command .*the permissions that docs\/drivers\/redis\.md lists/);
    await expect.poll(() => redis.admin.keys('*l:k}'), { timeout: 5000 }).toEqual([]);
  });
});

describe('failoverQuarantine', () => {
  const QUARANTINE = 1500;
  const quarantined = { failoverQuarantine: QUARANTINE };

  it('keeps a server that has just lost its data from granting, for whoever asks', async () => {
    const own = await RedisServer.start();
    redis.closing.push(() => own.stop());
    const one = engine(quarantined, own.url);
    await (await one.manager.acquire(request({ ttl: 1000 }))).release();
    // Known to the server: who comes later does not wait.
    const later = engine(quarantined, own.url);
    await (await later.manager.acquire(request({ ttl: 1000, limit: once }))).release();

    const lostAfter = performance.now();
    await own.restart();
    await one.store('up');
    const refused = one.manager.acquire(request({ ttl: 1000, limit: once }));
    await expect(refused).rejects.toThrow(/has a new master: no lock is granted for \d+ ms \(failoverQuarantine\)/);
    const fresh = engine(quarantined, own.url);
    await expect(fresh.manager.acquire(request({ ttl: 1000, limit: once }))).rejects.toThrow(/new master/);
    const lock = await one.manager.acquire(request({ ttl: 1000 }));
    expect(performance.now() - lostAfter).toBeGreaterThanOrEqual(QUARANTINE);
    expect(lock.held).toBe(true);

    const control = engine({}, own.url);
    await own.restart();
    expect((await control.manager.acquire(request({ ttl: 1000, limit: { wait: 1000 } }))).held).toBe(true);
  });

  it('begins anew for a server that was a replica in between, which no connection notices', async () => {
    const atOnce = { args: ['--repl-diskless-sync-delay', '0'] };
    const [own, other] = await Promise.all([RedisServer.start(), RedisServer.start(atOnce)]);
    redis.closing.push(
      () => own.stop(),
      () => other.stop(),
    );
    const one = engine({ failoverQuarantine: 600 }, own.url);
    const two = engine({ failoverQuarantine: 600 }, own.url);
    const short = { ttl: 600, limit: once };
    await (await one.manager.acquire(request({ ttl: 600 }))).release();
    await (await two.manager.acquire(request(short))).release();
    const admin = new Redis(own.url);
    redis.closing.push(() => admin.disconnect());
    await one.manager.acquire(request(short));
    await admin.replicaof('127.0.0.1', other.port);
    await expect.poll(() => admin.info('replication'), { timeout: 15_000 }).toContain('master_link_status:up');
    await admin.replicaof('NO', 'ONE');
    expect(await admin.exists('{test:l:k}')).toBe(0);
    await expect(two.manager.acquire(request(short))).rejects.toThrow(/has a new master/);
  });

  it('begins when the server is there again, not when somebody asks', async () => {
    const own = await RedisServer.start();
    redis.closing.push(() => own.stop());
    const one = engine({ failoverQuarantine: 100 }, own.url);
    await (await one.manager.acquire(request({ ttl: 100 }))).release();
    await own.restart();
    const admin = new Redis(own.url);
    redis.closing.push(() => admin.disconnect());
    const [, reign] = /master_replid:(\w+)/.exec(await admin.info('replication'))!;
    await expect.poll(() => admin.keys('*'), { timeout: 5000 }).toEqual([`{test:q:}${reign}`]);
  });

  it('does not deliver what a server granted by itself before it was looked at', async () => {
    const [first, second] = [engine(quarantined), engine(quarantined)];
    const held = await first.manager.acquire(request({ ttl: 1500 }));
    const waiting = second.manager.acquire(request({ ttl: 1500 }));
    await second.event('contended');
    await held.release();
    // Asked for again, which arms the whole TTL.
    expect((await waiting).remaining).toBeGreaterThan(1250);
  });
});

describe('a store that comes back', () => {
  it('is asked at once what it still knows of the leases', async () => {
    const own = await RedisServer.start();
    redis.closing.push(() => own.stop());
    const one = engine({}, own.url);
    const lock = await one.manager.acquire(request({ ttl: 60_000 }));
    await own.restart();
    // The next renewal is 20 s away.
    expect(await one.event('lost')).toMatchObject({ reason: 'gone' });
    expect(lock.held).toBe(false);
  });
});
