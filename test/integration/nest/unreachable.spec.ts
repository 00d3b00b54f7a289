import { once } from 'node:events';
import { createServer } from 'node:net';
import { Controller, Get } from '@nestjs/common';
import {
  type DistLockModuleOptions,
  DriverUnavailableError,
  LeaderService,
  LockConfigError,
  LockService,
  WithLock,
} from 'nestjs-dist-lock';
import { RedisDriver } from 'nestjs-dist-lock/redis';
import { describe, expect, it } from 'vitest';
import { compile, leading, portOf, serve, start, startError } from '../../support/nest/app.js';
import { RecordingLogger } from '../../support/nest/log.js';
import { RedisServer } from '../../support/servers/redis-server.js';
import { TcpProxy } from '../../support/servers/tcp-proxy.js';
import { useTopology } from '../../support/servers/use-topology.js';

/** A port of this machine on which nobody listens. */
async function refusedPort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const port = portOf(server);
  server.close();
  await once(server, 'close');
  return port;
}

function redis(port: number, more: Partial<DistLockModuleOptions> = {}): DistLockModuleOptions {
  const driver = new RedisDriver({ url: `redis://somebody:s3cret@127.0.0.1:${port}/0` });
  return { driver, lock: { wait: '300ms' }, ...more };
}

describe('a store that refuses connections', () => {
  it('stops the start with failFast: true, with its address and the cause, and no credentials', async () => {
    const port = await refusedPort();
    const error = await startError(compile({ locks: redis(port, { failFast: true }) }));
    expect(error).toBeInstanceOf(DriverUnavailableError);
    expect(error).toMatchObject({ code: 'DRIVER_UNAVAILABLE', sent: false });
    expect(error.message).toBe(`Redis at 127.0.0.1:${port}: connect ECONNREFUSED 127.0.0.1:${port}`);
    expect(error.cause).toMatchObject({ code: 'ECONNREFUSED' });
    expect(`${error.stack} ${JSON.stringify(error)}`).not.toMatch(/s3cret|somebody/);
  });

  it('does not stop it by default, but is logged, and every lock says so', async () => {
    const port = await refusedPort();
    const logger = new RecordingLogger();
    const app = await start({ locks: redis(port), logger });
    expect(logger.texts('error', 'DistLock')).toEqual([
      `The lock store is unreachable; trying again until it answers. Redis at 127.0.0.1:${port}: connect ECONNREFUSED 127.0.0.1:${port}`,
    ]);
    const locks = app.get(LockService);
    const asking: (() => Promise<unknown>)[] = [
      () => locks.acquire('k'),
      () => locks.tryAcquire('k'),
      () => locks.withLock('k', () => 'ran'),
      () => locks.describe('k'),
    ];
    for (const ask of asking) {
      const error: unknown = await ask().catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(DriverUnavailableError);
      expect(error).toHaveProperty('message', expect.stringContaining(`127.0.0.1:${port}`));
    }
    expect(app.get(LeaderService).isLeader()).toBe(false);
    await app.close();
    expect(logger.lines.filter(({ text }) => /s3cret|somebody/.test(text))).toEqual([]);
  });

  it('makes requests that need a lock fail with 503, and does not tell the client where it is', async () => {
    @Controller()
    class Orders {
      @Get()
      @WithLock('k')
      async charge(): Promise<string> {
        return 'charged';
      }
    }
    const port = await refusedPort();
    const { url } = await serve({ locks: redis(port), controllers: [Orders] });
    const response = await fetch(url);
    expect(response.status).toBe(503);
    expect(await response.text()).not.toContain(String(port));
  });
});

describe('a store that accepts connections and never answers', () => {
  it('stops the start with failFast: true, in bounded time', async () => {
    const silent = await TcpProxy.start(await refusedPort());
    silent.blackhole();
    const error = await startError(compile({ locks: redis(silent.port, { failFast: true }) }));
    expect(error).toBeInstanceOf(DriverUnavailableError);
    expect(error.message).toContain(`Redis at 127.0.0.1:${silent.port}: `);
    await silent.close();
  });
});

describe('a store that comes up after the application', () => {
  const server = useTopology(() => RedisServer.start());

  it('is used as soon as it answers', async () => {
    const proxy = await TcpProxy.start(server.port);
    proxy.refuse();
    const logger = new RecordingLogger();
    const driver = new RedisDriver({ host: '127.0.0.1', port: proxy.port });
    const app = await start({ locks: { driver }, logger });
    await proxy.accept();
    await logger.line('log', /^The lock store is reachable again after \d+\.\d s\.$/);
    await leading(app);
    expect(await app.get(LockService).withLock('k', ({ held }) => held)).toBe(true);
    await app.close();
    await proxy.close();
  });

  it('with the wrong credentials stops the start with failFast: true, and says so', async () => {
    const error = await startError(compile({ locks: redis(server.port, { failFast: true }) }));
    expect(error).toBeInstanceOf(LockConfigError);
    expect(error.message).toBe(
      `Redis at 127.0.0.1:${server.port}: WRONGPASS invalid username-password pair or user is disabled. — Check username and password.`,
    );
  });
});

describe('a RedisDriver without an address', () => {
  it.each([
    [
      { url: undefined },
      "`url` must look like 'redis://localhost:6379'; it is undefined. Is the environment variable set?",
    ],
    [{ url: 'localhost:6379' }, "`url` must look like 'redis://localhost:6379'; it is something else."],
    [{ host: 'localhost', keyPrefix: 'a:' }, '`keyPrefix` is not supported. Use the `namespace` option of forRoot().'],
    [{ client: {} }, '`client` must be an ioredis `Redis` instance, or a `Cluster`.'],
  ])('is refused at once: %o', (options, text) => {
    expect(() => new RedisDriver(options as { url: string })).toThrow(new LockConfigError(`RedisDriver: ${text}`));
  });
});
