import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { Redis } from 'ioredis';
import { DistLockModule, LockConfigError } from 'nestjs-dist-lock';
import { RedisDriver } from 'nestjs-dist-lock/redis';
import { describe, expect, it, vi } from 'vitest';
import { SystemClock } from '../../lib/core/clock.js';
import { StartChecks } from '../../lib/drivers/redis/checks/start-checks.js';
import { documentedUser } from '../package/pages.js';
import { request } from '../support/engine/engine.js';
import { RealEngine } from '../support/engine/real-engine.js';
import { RecordingLogger } from '../support/nest/log.js';
import { TcpProxy } from '../support/servers/tcp-proxy.js';
import { useRedis } from '../support/servers/use-redis.js';

const redis = useRedis(['--save', '3600 1']);
const { name, password, namespace, rules } = documentedUser();
const key = `${namespace}:l:k`;

type Options = ConstructorParameters<typeof RedisDriver>[0];

function engine(options: Options = { url: redis.server.url }): RealEngine {
  const created = new RealEngine(new RedisDriver(options));
  redis.closing.push(() => created.manager.close(0));
  return created;
}

/** Connects, and takes and gives back a lock. */
async function used(options?: Options): Promise<RealEngine> {
  const one = engine(options);
  await one.manager.connect();
  await (await one.manager.acquire(request({ storeKey: key }))).release();
  return one;
}

async function userWith(...changes: string[]): Promise<Options> {
  await redis.admin.acl('SETUSER', name, ...rules, ...changes);
  await redis.admin.acl('LOG', 'RESET');
  redis.closing.push(() => redis.admin.acl('DELUSER', name));
  return { host: '127.0.0.1', port: redis.server.port, username: name, password };
}

async function config(setting: string, value: string): Promise<void> {
  const [, before] = await redis.admin.config('GET', setting);
  redis.closing.push(() => redis.admin.config('SET', setting, before!));
  await redis.admin.config('SET', setting, value);
}

async function proxied(): Promise<TcpProxy> {
  const proxy = await TcpProxy.start(redis.server.port);
  redis.closing.push(() => proxy.close());
  return proxy;
}

/** Reconnects, and resolves when the server was looked at again. */
async function reconnect(one: RealEngine, proxy: TcpProxy): Promise<void> {
  proxy.refuse();
  await one.store('down');
  await proxy.accept();
  await one.store('up');
  await (await one.manager.acquire(request({ storeKey: key }))).release();
  // Its answer comes after those of the check, which were asked for before.
  await (await one.manager.acquire(request({ storeKey: key }))).release();
}

const moved = (field: string, by: (value: number) => number) => (reply: string) =>
  reply.replace(new RegExp(`(${field}:)(\\d+)`), (_, label: string, value: string) => label + by(Number(value)));

describe('a server that is fit for locks', () => {
  it('gives no warning, and sees the user refused nothing', async () => {
    const [all, least] = [await used(), await used(await userWith())];
    expect([...all.warnings, ...least.warnings]).toEqual([]);
    const log = (await redis.admin.acl('LOG')) as unknown[][];
    expect(log.filter((entry) => !String(entry[entry.indexOf('object') + 1]).includes('setinfo'))).toEqual([]);
  });
});

describe('at the first connection an operator is warned of', () => {
  it('eviction', async () => {
    await config('maxmemory-policy', 'allkeys-lru');
    for (const options of [undefined, await userWith()]) {
      const { warnings } = await used(options);
      expect(warnings).toEqual([
        expect.stringMatching(
          /^Redis at 127\.0\.0\.1:\d+ may evict locks .*allkeys-lru.* Set maxmemory-policy noeviction/,
        ),
      ]);
    }
  });

  it('a server that keeps nothing on disk', async () => {
    await config('save', '');
    expect((await used()).warnings).toEqual([expect.stringMatching(/keeps nothing on disk .* Set appendonly yes\.$/)]);
    await config('appendonly', 'yes');
    expect((await used()).warnings).toEqual([]);
  });

  it('the same, as a user who may not see the settings, once it has not been saved for hours', async () => {
    const user = await userWith();
    await config('save', '');
    expect((await used(user)).warnings).toEqual([]);
    const proxy = await proxied();
    proxy.rewriteReplies(moved('rdb_last_save_time', (seconds) => seconds - 3 * 3600));
    await redis.admin.set('x', 'unsaved');
    const { warnings } = await used({ ...user, port: proxy.port });
    expect(warnings).toEqual([expect.stringContaining('keeps nothing on disk')]);
  });

  it.each(rules.filter((rule) => rule.startsWith('+') && !/^\+(eval|evalsha|subscribe)$/.test(rule)))(
    'a missing permission: %s',
    async (permission) => {
      const warn = vi.spyOn(console, 'warn').mockImplementation(() => {});
      redis.closing.push(() => warn.mockRestore());
      const one = engine(await userWith(permission.replace('+', '-')));
      await one.manager.connect();
      await one.manager.acquire(request({ storeKey: key })).catch(() => undefined);
      const warning = await one.warning(/lacks permissions/);
      expect(warning).toMatch(new RegExp(`Grant \\${permission}[, ].*as docs/drivers/redis\\.md says`));
      expect(one.warnings).toHaveLength(1);
    },
  );

  it.each([
    ['keys', ['resetkeys', '~other:*'], `~{${namespace}:*`],
    ['channels', ['resetchannels', '&other:*'], `&${namespace}:i:*`],
    ['commands that bring a script', ['-eval'], '+eval'],
  ])('missing %s', async (_, changes, missing) => {
    const one = engine(await userWith(...changes));
    await one.manager.connect();
    await one.manager.acquire(request({ storeKey: key })).catch(() => undefined);
    expect((await one.warning(/lacks permissions/)).split(' ')).toContainEqual(expect.stringContaining(missing));
  });

  it('a subscription that is refused, where locks work but waiters are told late', async () => {
    const { warnings } = await used(await userWith('-subscribe'));
    expect(warnings).toEqual([expect.stringMatching(/NOPERM.* lacks \+subscribe or its channels/)]);
  });

  it('nothing twice, however often the connection breaks', async () => {
    await config('maxmemory-policy', 'volatile-lru');
    const proxy = await proxied();
    const one = await used({ host: '127.0.0.1', port: proxy.port });
    for (let round = 0; round < 3; round++) await reconnect(one, proxy);
    expect(one.warnings).toHaveLength(1);
  });
});

describe('a clock that was set between two connections', () => {
  it.each([
    ['ahead', 60_000_000, /its clock went (59|60|61)\.\d s ahead .* Leases ended early/],
    ['back', -60_000_000, /its clock went back by (59|60|61)\.\d s .* fencing tokens may repeat/],
  ])('%s is told', async (_, microseconds, text) => {
    const proxy = await proxied();
    const one = await used({ host: '127.0.0.1', port: proxy.port });
    await reconnect(one, proxy);
    expect(one.warnings).toEqual([]);
    proxy.rewriteReplies(moved('server_time_usec', (time) => time + microseconds));
    await reconnect(one, proxy);
    expect(await one.warning(/clock/)).toMatch(text);
  });
});

/** As TIME answers: seconds and microseconds, and nothing else. */
const timeMoved = (seconds: number) => (reply: string) =>
  reply.replaceAll(/\*2\r\n\$10\r\n(\d{10})\r\n(?=\$\d\r\n\d+\r\n)/g, (_, time) => {
    return `*2\r\n$10\r\n${Number(time) + seconds}\r\n`;
  });

describe('a clock that is set while locks are held', () => {
  it.each([
    ['ahead', 60, /its clock went (59|60|61)\.\d s ahead .* Leases ended early, and may have been granted twice/],
    ['back', -60, /its clock went back by (59|60|61)\.\d s/],
  ])('%s is told by the next renewal, once', async (_, seconds, text) => {
    const proxy = await proxied();
    const one = engine({ host: '127.0.0.1', port: proxy.port });
    const held = await one.manager.acquire(request({ ttl: 600 }));
    await one.event('renewed');
    expect(one.warnings.filter((warning) => /clock/.test(warning))).toEqual([]);
    proxy.rewriteReplies(timeMoved(seconds));
    expect(await one.warning(/clock/)).toMatch(text);
    const renewals = one.events.length;
    await expect.poll(() => one.events.length).toBeGreaterThan(renewals + 2);
    expect(one.warnings.filter((warning) => /clock/.test(warning))).toHaveLength(1);
    await held.release();
  });

  it('ahead: what it ended is lost at once, not at its own next renewal', async () => {
    const proxy = await proxied();
    const one = engine({ host: '127.0.0.1', port: proxy.port });
    const short = await one.manager.acquire(request({ key: 'short', storeKey: 'test:l:short', ttl: 600 }));
    const long = await one.manager.acquire(request({ key: 'long', storeKey: 'test:l:long', ttl: 600_000 }));
    await one.event('renewed');
    await redis.admin.del('{test:l:long}');
    // The control: nobody looks at it.
    const renewals = one.events.length;
    await expect.poll(() => one.events.length).toBeGreaterThan(renewals + 2);
    expect(long.held).toBe(true);
    proxy.rewriteReplies(timeMoved(60));
    expect(await one.event('lost')).toMatchObject({ key: 'long', reason: 'gone' });
    expect(short.held).toBe(true);
    await short.release();
  });
});

describe('nobody gets a lock from', () => {
  it('a server before 6.2, until it was upgraded', async () => {
    const proxy = await proxied();
    proxy.rewriteReplies((reply) => reply.replace(/redis_version:\d\.\d\./, 'redis_version:6.0.'));
    const one = engine({ host: '127.0.0.1', port: proxy.port });
    await expect(one.manager.connect()).rejects.toThrow(LockConfigError);
    await expect(one.manager.acquire(request())).rejects.toThrow(/is version 6\.0\.\d+; RedisDriver needs Redis 6\.2/);
    proxy.rewriteReplies(undefined);
    proxy.resetAll();
    await expect
      .poll(() =>
        one.manager.tryAcquire(request()).then(
          (lock) => lock!.held,
          () => false,
        ),
      )
      .toBe(true);
  });

  it('several servers while one of them is too old, whichever was looked at last', async () => {
    const checks = new StartChecks(() => undefined, new SystemClock());
    const [first, second] = await Promise.all([proxied(), proxied()]);
    const old = (reply: string): string => reply.replace(/redis_version:\d\.\d\.\d\d/, 'redis_version:6.0.16');
    first.rewriteReplies(old);
    const open = (proxy: TcpProxy): Redis => {
      const client = new Redis({ port: proxy.port, lazyConnect: true });
      redis.closing.push(() => client.disconnect());
      checks.watch(client, `port ${proxy.port}`);
      return client;
    };
    const looked = async (client: Redis): Promise<unknown> => {
      await client.connect();
      await checks.passed().catch(() => undefined);
      return checks.refusal;
    };
    const one = open(first);
    expect(await looked(one)).toBeInstanceOf(LockConfigError);
    const another = open(second);
    expect(await looked(another)).toMatchObject({ message: expect.stringContaining(`port ${first.port}`) as string });

    // Upgraded, under another connection.
    one.disconnect();
    await expect.poll(() => checks.refusal).toBeUndefined();
    first.rewriteReplies(undefined);
    expect(await looked(open(first))).toBeUndefined();
  });

  // ioredis goes on in database 0, where those who were allowed to select another one do not look.
  it.each([
    [
      'that the user may not select',
      async () => ({ ...(await userWith()), db: 1 }),
      /database 1 cannot be used: NOPERM.* Grant \+select/,
    ],
    [
      'that does not exist',
      () => ({ host: '127.0.0.1', port: redis.server.port, db: 99 }),
      /database 99 cannot be used: ERR .*out of range/,
    ],
  ])('a database %s', async (_, options, message) => {
    const one = engine(await options());
    const error = await one.manager.connect().then(
      () => expect.fail('connected'),
      (reason: Error) => reason,
    );
    expect(error).toBeInstanceOf(LockConfigError);
    expect(error.message).toMatch(message);
    await expect(one.manager.acquire(request())).rejects.toThrow(message);
    expect(await redis.admin.keys('*')).toEqual([]);
  });
});

describe('a database', () => {
  it.each<[string, () => Promise<Options> | Options]>([
    ['a URL', () => ({ url: `${redis.server.url}/3` })],
    ['options', () => ({ host: '127.0.0.1', port: redis.server.port, db: 3 })],
    ["the options of a user's client", () => ({ client: new Redis(redis.server.url, { db: 3, lazyConnect: true }) })],
    ['options, for a user with +select', async () => ({ ...(await userWith('+select')), db: 3 })],
  ])('of %s is used, also after a reconnection', async (_, options) => {
    const one = engine(await options());
    const lock = await one.manager.acquire(request({ storeKey: key, ttl: 60_000 }));
    const third = new Redis(redis.server.url, { db: 3 });
    redis.closing.push(() => third.disconnect());
    expect(await third.exists(`{${key}}`)).toBe(1);
    expect(await redis.admin.exists(`{${key}}`)).toBe(0);
    await redis.admin.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
    await lock.release();
    await one.manager.close(5000);
    await expect.poll(() => third.exists(`{${key}}`).catch(() => 1)).toBe(0);
  });
});

describe('a lock that the server refuses to take back', () => {
  it('is reported once, and stays taken until its TTL has run out', async () => {
    const one = engine(await userWith());
    const take = () => one.manager.acquire(request({ storeKey: key, ttl: 500 }));
    const lock = await take();
    await redis.admin.acl('SETUSER', name, '-del');
    await lock.release();
    expect(await redis.admin.exists(`{${key}}`)).toBe(1);
    const warning = await one.warning(/refuses to release a lock/);
    expect(warning).toMatch(
      /stays taken until its TTL has run out\. Redis at .* — Give the Redis user the permissions/,
    );
    await (await take()).release();
    expect(one.warnings).toHaveLength(1);
    await redis.admin.acl('SETUSER', name, '+del');
    await (await take()).release();
    expect(await redis.admin.exists(`{${key}}`)).toBe(0);
  });
});

describe('an application', () => {
  it('logs each warning once, also with two registrations over one driver', async () => {
    await config('maxmemory-policy', 'allkeys-lru');
    const driver = new RedisDriver({ url: redis.server.url });
    @Module({
      imports: [
        DistLockModule.forRoot({ driver, namespace }),
        DistLockModule.forRoot({ driver, namespace, name: 'other' }),
      ],
    })
    class AppModule {}
    const logger = new RecordingLogger();
    const app = await NestFactory.createApplicationContext(AppModule, { logger });
    redis.closing.push(() => app.close());
    await logger.line('warn', /may evict locks/);
    expect(logger.texts('warn').filter((text) => text.includes('evict'))).toHaveLength(1);
  });

  it.each([
    ['that the server does not know', () => `redis://${name}:top%2Fsecret@127.0.0.1:${redis.server.port}`],
    ['for a server that is not there', () => `redis://${name}:top%2Fsecret@127.0.0.1:1`],
  ])('never logs a password %s', async (_, url) => {
    await userWith();
    @Module({ imports: [DistLockModule.forRoot({ driver: new RedisDriver({ url: url() }), namespace: 'billing' })] })
    class AppModule {}
    const logger = new RecordingLogger();
    const app = await NestFactory.createApplicationContext(AppModule, { logger });
    redis.closing.push(() => app.close());
    await logger.line('error', /WRONGPASS|ECONNREFUSED/);
    expect(JSON.stringify(logger.lines)).not.toMatch(/top(%2F|\/)secret/i);
  });
});
