import { Redis } from 'ioredis';
import { type DriverEvent, DriverUnavailableError, LockConfigError } from 'nestjs-dist-lock';
import { RedisDriver } from 'nestjs-dist-lock/redis';
import { describe, expect, it } from 'vitest';
import { request } from '../support/engine/engine.js';
import { RealEngine } from '../support/engine/real-engine.js';
import { RedisServer } from '../support/servers/redis-server.js';
import { TcpProxy } from '../support/servers/tcp-proxy.js';
import { useRedis } from '../support/servers/use-redis.js';

const redis = useRedis();

function engine(driver = new RedisDriver({ url: redis.server.url }), instance = 'a'): RealEngine {
  const created = new RealEngine(driver, instance);
  redis.closing.push(() => created.manager.close(0));
  return created;
}

async function proxied(): Promise<{ proxy: TcpProxy; engine: RealEngine }> {
  const proxy = await TcpProxy.start(redis.server.port);
  redis.closing.push(() => proxy.close());
  const url = `redis://127.0.0.1:${proxy.port}`;
  const through = engine(new RedisDriver({ url, commandTimeout: 300, socketTimeout: 400 }), 'proxied');
  await through.manager.connect();
  return { proxy, engine: through };
}

const name = 'test:l:k';
const MARK = '{test:t:}';
const stored = (): Promise<string | null> => redis.admin.get(`{${name}}`);

describe('RedisDriver connects', () => {
  it.each([
    ['a URL', () => ({ url: redis.server.url })],
    ['options', () => ({ host: '127.0.0.1', port: redis.server.port })],
    ['a URL and options', () => ({ url: redis.server.url, connectionName: 'locks' })],
  ])('with %s', async (_, options) => {
    const { manager } = engine(new RedisDriver(options()));
    const lock = await manager.acquire(request());
    expect(lock.held).toBe(true);
    await lock.release();
    expect(await stored()).toBeNull();
  });

  it("with a user's client, which stays open and untouched", async () => {
    const client = new Redis(redis.server.url);
    redis.closing.push(() => client.disconnect());
    const { manager } = new RealEngine(new RedisDriver({ client }));
    await (await manager.acquire(request())).release();
    await manager.close(1000);
    expect(await client.ping()).toBe('PONG');
    expect(client.options.enableOfflineQueue).toBe(true);
  });

  it('with a lazy client of the user, which stays unconnected', async () => {
    const client = new Redis(redis.server.url, { lazyConnect: true });
    const { manager } = engine(new RedisDriver({ client }));
    await (await manager.acquire(request())).release();
    expect(client.status).toBe('wait');
  });

  it.each([
    [
      { url: undefined },
      /`url` must look like 'redis:\/\/localhost:6379'; it is undefined. Is the environment variable/,
    ],
    [{ url: 'localhost:6379' }, /`url` must look like/],
    [{ host: 'localhost', keyPrefix: 'app:' }, /`keyPrefix` is not supported. Use the `namespace` option/],
    [{ client: undefined }, /`client` must be an ioredis `Redis` instance/],
    [{ client: {} }, /`client` must be an ioredis `Redis` instance/],
  ])('never with %j', (options, message) => {
    expect(() => new RedisDriver(options as never)).toThrow(LockConfigError);
    expect(() => new RedisDriver(options as never)).toThrow(message);
  });

  it('never with a client that has a keyPrefix', () => {
    const client = new Redis(redis.server.url, { lazyConnect: true, keyPrefix: 'app:' });
    expect(() => new RedisDriver({ client })).toThrow(/keyPrefix/);
  });

  it('and says where it could not, and why, without credentials', async () => {
    const dead = await TcpProxy.start(redis.server.port);
    await dead.close();
    const { manager } = engine(new RedisDriver({ url: `redis://user:secret@127.0.0.1:${dead.port}` }));
    const error: Error = await manager.connect().then(
      () => expect.fail('connected'),
      (reason: Error) => reason,
    );
    expect(error).toBeInstanceOf(DriverUnavailableError);
    expect(error.message).toBe(`Redis at 127.0.0.1:${dead.port}: connect ECONNREFUSED 127.0.0.1:${dead.port}`);
    expect(JSON.stringify([error, (error.cause as Error).message])).not.toContain('secret');
  });

  it('in bounded time to a server that accepts and says nothing', async () => {
    const proxy = await TcpProxy.start(redis.server.port);
    redis.closing.push(() => proxy.close());
    proxy.blackhole();
    const { manager } = engine(
      new RedisDriver({ host: '127.0.0.1', port: proxy.port, connectTimeout: 300, commandTimeout: 300 }),
    );
    await expect(manager.connect()).rejects.toThrow(DriverUnavailableError);
  });

  it('later, when the server was down at first', async () => {
    const proxy = await TcpProxy.start(redis.server.port);
    redis.closing.push(() => proxy.close());
    proxy.refuse();
    const late = engine(new RedisDriver({ host: '127.0.0.1', port: proxy.port }));
    await expect(late.manager.connect()).rejects.toThrow(DriverUnavailableError);
    const waiting = late.manager.acquire(request());
    await proxy.accept();
    expect((await waiting).held).toBe(true);
    await late.store('up');
  });
});

describe('RedisDriver', () => {
  it('survives a flush of the script cache', async () => {
    const { manager } = engine();
    const lock = await manager.acquire(request());
    await redis.admin.script('FLUSH');
    await lock.release();
    await redis.admin.script('FLUSH');
    expect((await manager.acquire(request())).held).toBe(true);
  });

  it('keeps what it stores readable, and forgets it in time', async () => {
    const { manager } = engine();
    const lock = await manager.acquire(request({ ttl: 60_000, metadata: { job: 'x' } }));
    const [holder, token, inbox, since, ...tail] = (await stored())!.split(' ');
    expect([holder, token]).toEqual([lock.holder, String(lock.fencingToken)]);
    expect(inbox).toMatch(/^test:i:[0-9a-f-]{36}$/);
    expect(since).toMatch(/^\d{16}$/);
    expect(tail.join(' ')).toBe('{"instance":"a","metadata":{"job":"x"}}');
    await lock.release();
    expect(await redis.admin.keys('*')).toEqual([MARK]);
    expect(await redis.admin.pttl(MARK)).toBe(-1);
  });

  it('sends two commands for a lock that nobody else wants', async () => {
    const { manager } = engine();
    await (await manager.acquire(request())).release();
    await redis.admin.config('RESETSTAT');
    for (let round = 0; round < 10; round++) await (await manager.acquire(request())).release();
    const calls = [...(await redis.admin.info('commandstats')).matchAll(/cmdstat_(\w+):calls=(\d+)/g)];
    const sent = Object.fromEntries(calls.map(([, command, count]) => [command, Number(count)]));
    expect(sent['evalsha']).toBe(20);
    expect(Object.keys(sent)).not.toContain('eval');
    expect(Object.keys(sent)).not.toContain('script|load');
  });

  it('wakes a waiter in another instance by push', async () => {
    const [first, second] = [engine(), engine(undefined, 'b')];
    const held = await first.manager.acquire(request({ ttl: 60_000 }));
    const waiting = second.manager.acquire(request());
    await second.event('contended');
    const releasedAt = performance.now();
    await held.release();
    await waiting;
    expect(performance.now() - releasedAt).toBeLessThan(300);
  });

  it('counts waiting instances, and no longer once the key was freed', async () => {
    const [first, second] = [engine(), engine(undefined, 'b')];
    const held = await first.manager.acquire(request());
    const waiting = second.manager.acquire(request());
    await second.event('contended');
    expect((await first.manager.inspect(name))!.waiters).toBe(1);
    await held.release();
    await waiting;
    expect((await first.manager.inspect(name))!.waiters).toBe(0);
  });
});

describe('fencing tokens', () => {
  it('are in step with the clock of the server', async () => {
    const { manager } = engine();
    const lock = await manager.acquire(request());
    expect(Math.abs(lock.fencingToken / 1000 - Date.now())).toBeLessThan(5000);
  });

  it('keep increasing when the mark is ahead of the clock, also beyond 2^52', async () => {
    const { manager } = engine();
    const ahead = 2 ** 52 + 11;
    await redis.admin.set(MARK, String(ahead));
    for (let round = 0; round < 5; round++) {
      const lock = await manager.acquire(request());
      expect(lock.fencingToken).toBe(ahead + round);
      await lock.release();
    }
    expect(await redis.admin.get(MARK)).toBe(String(ahead + 5));
  });

  it('keep increasing over a restart without data', async () => {
    const own = await RedisServer.start();
    redis.closing.push(() => own.stop());
    const one = engine(new RedisDriver({ url: own.url }));
    const before = await one.manager.acquire(request());
    await own.restart();
    await one.store('up');
    await before.release();
    const after = await one.manager.acquire(request());
    expect(after.fencingToken).toBeGreaterThan(before.fencingToken);
  });
});

// Rule S6 of docs/internals/safety.md.
describe('an unknown outcome', () => {
  it('of an acquire is resolved by asking again: the lock is ours, not busy', async () => {
    const { proxy, engine: one } = await proxied();
    await (await one.manager.acquire(request())).release();
    const dropped = proxy.dropNextReply();
    const acquired = one.manager.acquire(request({ ttl: 60_000, limit: { attempts: 20, retryDelay: 50 } }));
    await dropped;
    const token = (await stored())!.split(' ')[1];
    const lock = await acquired;
    expect(String(lock.fencingToken)).toBe(token);
  });

  it('of a release is resolved by asking again, and the successor is untouched', async () => {
    const { proxy, engine: one } = await proxied();
    const other = engine();
    const lock = await one.manager.acquire(request({ ttl: 60_000 }));
    const dropped = proxy.dropNextReply();
    const released = lock.release();
    await dropped;
    const successor = await other.manager.acquire(request({ ttl: 60_000 }));
    await released;
    await one.store('up');
    await one.manager.close(5000);
    expect((await stored())!.split(' ')[0]).toBe(successor.holder);
  });

  it('that is given up is cancelled, so that the late request gets nothing', async () => {
    const { proxy, engine: one } = await proxied();
    proxy.holdRequests();
    await expect(one.manager.tryAcquire(request({ limit: { attempts: 1, retryDelay: 1 } }))).rejects.toThrow(
      DriverUnavailableError,
    );
    proxy.resetAll();
    await one.store('up');
    await expect.poll(() => redis.admin.keys('*:x:*')).toHaveLength(1);
    await proxy.releaseRequests();
    expect(await stored()).toBeNull();
  });

  it('control: without the cancel the late request takes the key for nobody', async () => {
    const { proxy, engine: one } = await proxied();
    one.driver.cancel = () => Promise.resolve();
    proxy.holdRequests();
    await expect(one.manager.tryAcquire(request({ limit: { attempts: 1, retryDelay: 1 } }))).rejects.toThrow(
      DriverUnavailableError,
    );
    proxy.resetAll();
    await one.store('up');
    await proxy.releaseRequests();
    expect(await stored()).not.toBeNull();
  });
});

// Rule S4 of docs/internals/safety.md.
describe('a connection', () => {
  it('that goes silent costs the lock in time, and is replaced', async () => {
    const { proxy, engine: one } = await proxied();
    const ttl = 2000;
    const sentAt = performance.now();
    const lock = await one.manager.acquire(request({ ttl }));
    const { signal } = lock;
    let abortedAt = 0;
    signal.addEventListener('abort', () => (abortedAt = performance.now()));
    proxy.blackhole();
    const lost = await one.event('lost');
    expect(lost).toMatchObject({ reason: 'expired' });
    // Before the TTL has passed, which a manual clock shows; a busy machine is late.
    expect(abortedAt - sentAt).toBeLessThan(ttl + 250);
    expect(one.events.map(({ type }) => type)).toContain('at-risk');
    proxy.heal();
    await one.store('up');
    expect((await one.manager.acquire(request())).held).toBe(true);
  });

  it('that breaks while the lock is held is replaced, and the lock survives', async () => {
    const { proxy, engine: one } = await proxied();
    const lock = await one.manager.acquire(request({ ttl: 1500 }));
    proxy.resetAll();
    await one.store('up');
    await one.event('renewed');
    expect(lock.held).toBe(true);
    expect(lock.signal.aborted).toBe(false);
  });

  it('of the subscription that breaks is replaced, and a waiter asks again', async () => {
    const { proxy, engine: one } = await proxied();
    const other = engine();
    const held = await other.manager.acquire(request({ ttl: 60_000 }));
    const waiting = one.manager.acquire(request({ pollEvery: 60_000 }));
    await one.event('contended');
    proxy.refuse();
    await one.store('down');
    await held.release();
    await proxy.accept();
    expect((await waiting).held).toBe(true);
  });

  it('of the subscription that breaks alone listens to all its channels again, and everybody is told to ask', async () => {
    const driver = new RedisDriver({ url: redis.server.url });
    const events: string[] = [];
    const listener = ({ type }: DriverEvent): void => void (type === 'up' && events.push(type));
    await driver.connect(listener);
    redis.closing.push(() => driver.close(listener));
    for (const namespace of ['one', 'two']) {
      const claim = { key: `${namespace}:l:k`, holder: namespace, ttl: 30_000, instance: 'a', metadata: {} };
      expect(await driver.acquire(claim, 'queue')).toMatchObject({ status: 'granted' });
    }
    const channels = async (): Promise<number> => (await redis.admin.pubsub('CHANNELS', '*:i:*')).length;
    expect(await channels()).toBe(2);
    expect(events).toEqual(['up']);
    await redis.admin.call('CLIENT', 'KILL', 'TYPE', 'pubsub');
    await expect.poll(() => events, { timeout: 10_000 }).toEqual(['up', 'up']);
    expect(await channels()).toBe(2);
  });

  it('to a server that is restarted while callers wait comes back, and the key is free', async () => {
    const own = await RedisServer.start();
    redis.closing.push(() => own.stop());
    const [first, second] = [engine(new RedisDriver({ url: own.url })), engine(new RedisDriver({ url: own.url }), 'b')];
    const held = await first.manager.acquire(request({ ttl: 3000 }));
    const waiting = second.manager.acquire(request());
    await second.event('contended');
    await own.restart();
    expect((await waiting).fencingToken).toBeGreaterThan(held.fencingToken);
    expect(await first.event('lost')).toMatchObject({ reason: 'gone' });
    expect(held.signal.aborted).toBe(true);
  });

  it('to a server that is stopped and goes on is used again', async () => {
    const own = await RedisServer.start();
    redis.closing.push(() => own.stop());
    const one = engine(new RedisDriver({ url: own.url, commandTimeout: 200 }));
    await one.manager.connect();
    own.pause();
    await expect(one.manager.tryAcquire(request({ limit: { attempts: 1, retryDelay: 1 } }))).rejects.toThrow(
      /Command timed out/,
    );
    own.resume();
    const lock = await one.manager.acquire(request());
    expect(lock.held).toBe(true);
  });
});
