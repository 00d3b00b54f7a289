import { mkdir } from 'node:fs/promises';
import { Redis } from 'ioredis';
import { DriverUnavailableError, LockConfigError } from 'nestjs-dist-lock';
import { RedisDriver } from 'nestjs-dist-lock/redis';
import { describe, expect, it } from 'vitest';
import { classify } from '../../lib/drivers/redis/reply-errors.js';
import { request } from '../support/engine.js';
import { RealEngine } from '../support/real-engine.js';
import { RedisServer } from '../support/redis-server.js';
import { useRedis } from '../support/use-redis.js';

// Every failure is provoked on a real server, because their texts differ from what one expects.

const redis = useRedis(['--enable-debug-command', 'yes', '--lua-time-limit', '20']);

async function connected(
  options: ConstructorParameters<typeof RedisDriver>[0] = { url: redis.server.url },
): Promise<RealEngine> {
  const engine = new RealEngine(new RedisDriver(options));
  redis.closing.push(() => engine.manager.close(0));
  await engine.manager.connect();
  return engine;
}

const once = request({ limit: { attempts: 1, retryDelay: 1 } });

async function failure(engine: RealEngine): Promise<Error> {
  return engine.manager.acquire(once).then(
    () => expect.fail('acquired'),
    (error: Error) => error,
  );
}

function expectRetryable(error: Error, message: RegExp): void {
  expect(error).toBeInstanceOf(DriverUnavailableError);
  expect(error.message).toMatch(message);
  expect((error as DriverUnavailableError).sent).toBe(false);
}

function expectConfiguration(error: Error, message: RegExp): void {
  expect(error).toBeInstanceOf(LockConfigError);
  expect(error.message).toMatch(message);
}

describe('a reply that means "not executed, try again"', () => {
  it('OOM', async () => {
    const engine = await connected();
    await redis.admin.config('SET', 'maxmemory', '1');
    const error = await failure(engine);
    await redis.admin.config('SET', 'maxmemory', '0');
    expectRetryable(error, /^Redis at 127\.0\.0\.1:\d+: .*OOM.* — Redis is out of memory: raise maxmemory/s);
    expect((await engine.manager.acquire(request())).held).toBe(true);
  });

  it('BUSY', async () => {
    const engine = await connected();
    const hog = new Redis(redis.server.url);
    redis.closing.push(() => hog.disconnect());
    const hogging = hog.eval('while true do end', 0).catch((error: unknown) => error);
    await expect.poll(() => redis.admin.ping().catch((error: Error) => error.message)).toMatch(/BUSY/);
    const error = await failure(engine);
    await redis.admin.script('KILL');
    await hogging;
    expectRetryable(error, /BUSY/);
  });

  it('READONLY and MASTERDOWN', async () => {
    const replica = await RedisServer.start({ args: ['--replicaof', '127.0.0.1', String(redis.server.port)] });
    redis.closing.push(() => replica.stop());
    const follower = new Redis(replica.url);
    redis.closing.push(() => follower.disconnect());
    await expect.poll(() => follower.info('replication'), { timeout: 10_000 }).toMatch(/master_link_status:up/);
    // A server that turns out to be a replica is looked up anew, so each reply gets a connection of its own.
    const [engine, later] = [await connected({ url: replica.url }), await connected({ url: replica.url })];
    expectRetryable(await failure(engine), /READONLY.* — This server is a replica; connect to the master/s);
    await follower.config('SET', 'replica-serve-stale-data', 'no');
    await follower.replicaof('127.0.0.1', 1);
    await expect.poll(() => follower.get('x').catch((error: Error) => error.message)).toMatch(/MASTERDOWN/);
    expectRetryable(await failure(later), /MASTERDOWN/);
  });

  it('NOREPLICAS', async () => {
    const engine = await connected();
    await redis.admin.config('SET', 'min-replicas-to-write', '1');
    const error = await failure(engine);
    await redis.admin.config('SET', 'min-replicas-to-write', '0');
    expectRetryable(error, /NOREPLICAS.* — Too few replicas/s);
  });

  it('MISCONF', async () => {
    const broken = await RedisServer.start();
    redis.closing.push(() => broken.stop());
    const client = new Redis(broken.url);
    redis.closing.push(() => client.disconnect());
    const engine = await connected({ url: broken.url });
    await client.set('x', '1');
    await client.config('SET', 'save', '3600 1');
    const [, folder] = await client.config('GET', 'dir');
    await mkdir(`${folder}/dump.rdb/x`, { recursive: true });
    await client.bgsave();
    await expect.poll(() => client.info('persistence'), { timeout: 10_000 }).toMatch(/rdb_last_bgsave_status:err/);
    expectRetryable(await failure(engine), /MISCONF.* — Redis cannot save its data/s);
  });

  it('LOADING', async () => {
    const slow = await RedisServer.start({ args: ['--enable-debug-command', 'yes'] });
    redis.closing.push(() => slow.stop());
    const client = new Redis(slow.url);
    redis.closing.push(() => client.disconnect());
    client.on('error', () => undefined);
    await client.call('DEBUG', 'POPULATE', '50000', 'key', '100');
    await client.config('SET', 'key-load-delay', '50');
    await client.config('SET', 'loading-process-events-interval-bytes', '1024');
    const engine = await connected({ url: slow.url });
    // Reloads for about 2.5 s, and answers LOADING meanwhile.
    const reloading = client.call('DEBUG', 'RELOAD');
    let error: Error | undefined;
    await expect
      .poll(async () => {
        error = await engine.manager.acquire(once).then(
          (lock) => void lock.release(),
          (reason: Error) => reason,
        );
        return error?.message;
      })
      .toMatch(/LOADING/);
    expectRetryable(error!, /LOADING/);
    await reloading;
  });

  it('a full house', async () => {
    const small = await RedisServer.start({ args: ['--maxclients', '3'] });
    redis.closing.push(() => small.stop());
    const guests = Array.from({ length: 3 }, () => new Redis(small.url));
    redis.closing.push(() => guests.forEach((guest) => guest.disconnect()));
    await Promise.all(guests.map((guest) => guest.ping()));
    const engine = new RealEngine(new RedisDriver({ url: small.url }));
    redis.closing.push(() => engine.manager.close(0));
    const error: Error = await engine.manager.connect().then(
      () => expect.fail('connected'),
      (reason: Error) => reason,
    );
    // The server hangs up after its reply, and sometimes the hang-up is noticed first.
    expectRetryable(error, /max number of clients reached.* — Raise maxclients|EPIPE|ECONNRESET/s);
  });
});

describe('a reply that means "change the configuration"', () => {
  it('NOPERM, for a command, a key and inside of a script', async () => {
    await redis.admin.call('ACL', 'SETUSER', 'some', 'on', '>pw', '~other:*', '&*', '+@all');
    expectConfiguration(
      await failure(await connected({ host: '127.0.0.1', port: redis.server.port, username: 'some', password: 'pw' })),
      /NOPERM.* — Give the Redis user the permissions that the README lists/s,
    );
    await redis.admin.call('ACL', 'SETUSER', 'some', 'resetkeys', '~*', '-time');
    expectConfiguration(
      await failure(await connected({ host: '127.0.0.1', port: redis.server.port, username: 'some', password: 'pw' })),
      /user executing the script can't run this command.* — Give the Redis user the permissions/s,
    );
  });

  it('WRONGPASS and NOAUTH', async () => {
    await redis.admin.call('ACL', 'SETUSER', 'app', 'on', '>right', '~*', '&*', '+@all');
    const wrong = new RealEngine(
      new RedisDriver({ host: '127.0.0.1', port: redis.server.port, username: 'app', password: 'wrong-secret' }),
    );
    redis.closing.push(() => wrong.manager.close(0));
    const error = await wrong.manager.connect().then(
      () => expect.fail('connected'),
      (reason: Error) => reason,
    );
    expectConfiguration(error, /WRONGPASS.* — Check username and password/s);
    expect(error.message).not.toContain('wrong-secret');

    await redis.admin.config('SET', 'requirepass', 'pw');
    const none = new RealEngine(new RedisDriver({ url: redis.server.url }));
    redis.closing.push(() => none.manager.close(0));
    const refused = await none.manager
      .connect()
      .then(() => failure(none))
      .catch((reason: Error) => reason);
    await redis.admin.config('SET', 'requirepass', '');
    expectConfiguration(refused, /NOAUTH.* — Check username and password/s);
  });

  it('WRONGTYPE', async () => {
    const engine = await connected();
    await redis.admin.lpush('{test:l:k}', 'x');
    expectConfiguration(await failure(engine), /WRONGTYPE.* — Something else uses this key: change `namespace`/s);
  });
});

describe('a failure whose outcome is unknown', () => {
  it('a timeout: the server executes the command later', async () => {
    const engine = await connected({ url: redis.server.url, commandTimeout: 100 });
    const sleeping = redis.admin.call('DEBUG', 'SLEEP', '0.5');
    const error = await failure(engine);
    expect(error).toBeInstanceOf(DriverUnavailableError);
    expect((error as DriverUnavailableError).sent).toBe(true);
    await sleeping;
    await expect.poll(() => redis.admin.get('{test:l:k}')).toBeNull();
  });

  it.each(['Command timed out', 'Connection is closed.', 'read ECONNRESET', 'Socket timeout', 'something new'])(
    '%s',
    (text) => {
      const error = classify(new Error(text), 'localhost:6379');
      expect(error).toBeInstanceOf(DriverUnavailableError);
      expect((error as DriverUnavailableError).sent).toBe(true);
    },
  );
});

describe('replies that are not provoked here', () => {
  it.each([
    ['MOVED 3999 127.0.0.1:6381', false],
    ['CLUSTERDOWN Hash slot not served', false],
    ['TRYAGAIN Multiple keys request during rehashing of slot', false],
    ['ERR max number of clients reached', false],
    ["ERR Error running script (call to f_1): @user_script:1: @user_script: 1: -READONLY You can't write", false],
  ])('%s', (text, sent) => {
    expect(classify(new Error(text), 'localhost:6379')).toMatchObject({ code: 'DRIVER_UNAVAILABLE', sent });
  });
});
