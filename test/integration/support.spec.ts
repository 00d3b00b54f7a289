import { existsSync } from 'node:fs';
import { Redis, type RedisOptions } from 'ioredis';
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { FencedResource } from '../support/history/fenced-resource.mjs';
import { findEtcdServer, findRedisServer } from '../support/servers/find-servers.mjs';
import { RedisServer } from '../support/servers/redis-server.js';
import { TcpProxy } from '../support/servers/tcp-proxy.js';
import { useTopology } from '../support/servers/use-topology.js';

/** For the tests that wait for a timeout; the others must not see one on a busy machine. */
const IMPATIENT = { commandTimeout: 200 };

/** A client that never tries twice, so that a test sees each fault as it is. */
async function connect(port: number, options: RedisOptions = {}): Promise<Redis> {
  const client = unconnected(port, options);
  await client.connect();
  return client;
}

function unconnected(port: number, options: RedisOptions = {}): Redis {
  const client = new Redis({
    port,
    host: '127.0.0.1',
    lazyConnect: true,
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    commandTimeout: 5000,
    retryStrategy: () => 10,
    ...options,
  });
  client.on('error', () => {});
  onTestFinished(() => client.disconnect());
  return client;
}

/** Unlike `once` of Node, it bears the errors that come before the event that a test waits for. */
function event(client: Redis, name: string): Promise<unknown> {
  return new Promise((resolve) => client.once(name, resolve));
}

describe('findRedisServer', () => {
  afterEach(() => {
    vi.unstubAllEnvs();
  });

  it('prefers REDIS_SERVER_BIN, and names it when it is wrong', () => {
    vi.stubEnv('REDIS_SERVER_BIN', process.execPath);
    expect(findRedisServer()).toBe(process.execPath);
    vi.stubEnv('REDIS_SERVER_BIN', '/nowhere/redis-server');
    expect(findRedisServer).toThrow('REDIS_SERVER_BIN: /nowhere/redis-server is not an executable file.');
    vi.stubEnv('ETCD_BIN', '/nowhere/etcd');
    expect(findEtcdServer).toThrow('ETCD_BIN: /nowhere/etcd is not an executable file.');
  });

  it('looks on the PATH', () => {
    vi.stubEnv('REDIS_SERVER_BIN', '');
    vi.stubEnv('PATH', '/nowhere');
    expect(findRedisServer()).toBeUndefined();
  });
});

describe('RedisServer', () => {
  async function start(...args: string[]): Promise<RedisServer> {
    const server = await RedisServer.start({ args });
    onTestFinished(() => server.stop());
    return server;
  }

  it('starts servers of their own, and leaves nothing behind', async () => {
    const [one, other] = [await start(), await start()];
    const client = await connect(one.port);
    await client.set('key', 'one');
    expect(await (await connect(other.port)).exists('key')).toBe(0);
    const [, folder = ''] = await client.config('GET', 'dir');
    expect(existsSync(folder)).toBe(true);
    await one.stop();
    expect(existsSync(folder)).toBe(false);
    await expect(unconnected(one.port, { retryStrategy: () => null }).connect()).rejects.toThrow();
  });

  it('hears nothing while paused, and does afterwards what it was sent', async () => {
    const server = await start();
    const client = await connect(server.port, IMPATIENT);
    server.pause();
    await expect(client.set('key', 'late')).rejects.toThrow('Command timed out');
    expect(client.status).toBe('ready');
    server.resume();
    expect(await (await connect(server.port)).get('key')).toBe('late');
  });

  it('forgets everything when it is killed, and comes back on the same port', async () => {
    const server = await start();
    const client = await connect(server.port);
    await client.set('key', 'value');
    const closed = event(client, 'close');
    await server.kill();
    await closed;
    expect(() => server.pause()).toThrow('does not run');
    const ready = event(client, 'ready');
    await server.restart();
    await ready;
    expect(await client.exists('key')).toBe(0);
  });

  it('restarts a server that is paused, with the same arguments and files', async () => {
    const server = await start('--appendonly', 'yes', '--appendfsync', 'always');
    await (await connect(server.port)).set('key', 'value');
    server.pause();
    await server.restart();
    expect(await (await connect(server.port)).get('key')).toBe('value');
  });

  it('says why it did not start', async () => {
    await expect(start('--no-such-option')).rejects.toThrow(/no-such-option/);
    const { port } = await start();
    await expect(RedisServer.start({ port })).rejects.toThrow(/Address already in use/i);
  });
});

describe('with one server', () => {
  const server = useTopology(() => RedisServer.start());
  let direct: Redis;

  beforeEach(async () => {
    direct = await connect(server.port);
    await direct.flushall();
  });

  describe('TcpProxy', () => {
    let proxy: TcpProxy;
    let client: Redis;

    beforeEach(async () => {
      proxy = await TcpProxy.start(server.port);
      client = await connect(proxy.port);
    });

    afterEach(() => proxy.close());

    it('passes everything on, and the end of a connection too', async () => {
      const value = 'x'.repeat(1_000_000);
      await client.set('key', value);
      expect(await client.get('key')).toBe(value);
      const closed = event(client, 'end');
      await client.quit();
      await closed;
    });

    it('blackhole: half open, and what was swallowed is lost', async () => {
      const identity = await client.client('ID');
      const active = await connect(proxy.port, IMPATIENT);
      proxy.blackhole();
      await expect(active.set('key', 'lost')).rejects.toThrow('Command timed out');
      expect(active.status).toBe('ready');

      const newcomer = unconnected(proxy.port, IMPATIENT);
      const ready = newcomer.connect();
      await event(newcomer, 'connect');
      await expect(newcomer.get('key')).rejects.toThrow('Command timed out');
      expect(newcomer.status).toBe('connect');

      const back = [event(active, 'ready'), event(newcomer, 'ready')];
      proxy.heal();
      await Promise.all([...back, ready.catch(() => {})]);
      expect(await direct.exists('key')).toBe(0);
      expect(await client.client('ID')).toBe(identity);
    });

    it('dropNextReply: executed, but the client cannot know', async () => {
      const dropped = proxy.dropNextReply();
      await expect(client.incr('key')).rejects.toThrow();
      await dropped;
      expect(await direct.get('key')).toBe('1');
      expect(await client.incr('key')).toBe(2);
    });

    it('delayReplies: executed at once, known later', async () => {
      const sent = performance.now();
      proxy.delayReplies(150);
      const reply = client.rpush('list', 'value').then(() => performance.now());
      await direct.blpop('list', 0);
      const executed = performance.now();
      expect((await reply) - sent).toBeGreaterThan(148);
      expect(await reply).toBeGreaterThan(executed);
      proxy.delayReplies(0);
      expect(await client.ping()).toBe('PONG');
    });

    it('holdRequests: what was sent arrives later, although its client is gone', async () => {
      const impatient = await connect(proxy.port, IMPATIENT);
      proxy.holdRequests();
      await expect(impatient.set('key', 'late')).rejects.toThrow('Command timed out');
      const closed = event(impatient, 'close');
      proxy.resetAll();
      await closed;
      const successor = await connect(proxy.port);
      expect(await successor.set('key', 'early')).toBe('OK');
      await proxy.releaseRequests();
      expect(await direct.get('key')).toBe('late');
    });

    it('releaseRequests: a client that has waited gets its replies', async () => {
      proxy.holdRequests();
      const replies = Promise.all([client.incr('key'), client.incr('key')]);
      expect(await direct.incr('key')).toBe(1);
      await proxy.releaseRequests();
      expect(await replies).toEqual([2, 3]);
    });

    it('resetAll: the client finds its connection reset', async () => {
      const failed = event(client, 'error');
      proxy.resetAll();
      expect(await failed).toMatchObject({ code: 'ECONNRESET' });
      await event(client, 'ready');
      expect(await client.ping()).toBe('PONG');
    });

    it('refuse: nobody listens until accept', async () => {
      const { port } = proxy;
      const closed = event(client, 'close');
      proxy.refuse();
      await closed;
      const refused = unconnected(port, { retryStrategy: () => null });
      const failed = event(refused, 'error');
      await expect(refused.connect()).rejects.toThrow();
      expect(await failed).toMatchObject({ code: 'ECONNREFUSED' });
      const ready = event(client, 'ready');
      await proxy.accept();
      await ready;
      expect(proxy.port).toBe(port);
    });
  });

  describe('FencedResource', () => {
    it('refuses stale tokens, and logs what it accepted', async () => {
      const resource = new FencedResource(direct, 'resource');
      expect(await resource.write(2, 'first')).toBe(true);
      expect(await resource.write(2, 'second')).toBe(true);
      expect(await resource.write(9_007_199_254_740_991, 'third')).toBe(true);
      expect(await resource.write(3, 'stale')).toBe(false);
      expect(await resource.log()).toEqual([2, 2, 9_007_199_254_740_991]);
    });

    it('accepts everything without the fence, and still knows the highest token', async () => {
      const resource = new FencedResource(direct, 'resource');
      expect(await resource.write(5, 'first', false)).toBe(true);
      expect(await resource.write(4, 'stale', false)).toBe(true);
      expect(await resource.write(4, 'stale')).toBe(false);
      expect(await resource.log()).toEqual([5, 4]);
    });
  });
});
