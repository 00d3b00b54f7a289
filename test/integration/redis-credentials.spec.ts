import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { Redis } from 'ioredis';
import { DriverUnavailableError, LockConfigError } from 'nestjs-dist-lock';
import { RedisDriver, RedlockDriver } from 'nestjs-dist-lock/redis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { LockDriver } from '../../lib/core/lock-driver.js';
import { request } from '../support/engine/engine.js';
import { RealEngine } from '../support/engine/real-engine.js';
import { type Certificate, PrivateCa } from '../support/servers/certificates.js';
import { freePort, RedisServer } from '../support/servers/redis-server.js';
import { useRedisServers } from '../support/servers/use-redis.js';
import { useClosing } from '../support/servers/use-topology.js';

// Passwords and certificates that change while the application runs, on real servers.

interface Login {
  username: string;
  password: string;
}

interface Place {
  readonly name: string;
  readonly servers: () => readonly RedisServer[];
  readonly driver: (login: () => Login) => LockDriver;
}

const folder = mkdtempSync(join(tmpdir(), 'credentials-'));
const three = useRedisServers(3);
let node: RedisServer;
let sentinel: RedisServer;
const closing = useClosing();

beforeAll(async () => {
  node = await RedisServer.start({
    args: ['--cluster-enabled', 'yes', '--cluster-announce-ip', '127.0.0.1'],
    highest: 55_000,
  });
  const admin = new Redis(node.url);
  await admin.call('CLUSTER', 'ADDSLOTSRANGE', 0, 16383);
  admin.disconnect();
  const config = join(folder, 'sentinel.conf');
  writeFileSync(
    config,
    `sentinel monitor locks 127.0.0.1 ${three[0]!.port} 1\nuser default on nopass ~* &* +@all\n` +
      'user app on >first ~* &* +@all\n',
  );
  sentinel = await RedisServer.start({ config });
});
afterAll(async () => {
  for (const server of [node, sentinel]) await server.stop();
  rmSync(folder, { recursive: true });
});

async function onAll(servers: readonly RedisServer[], work: (admin: Redis) => Promise<unknown>): Promise<void> {
  for (const { url } of servers) {
    const admin = new Redis(url);
    await work(admin).finally(() => admin.disconnect());
  }
}

/** The user has this password, and no other, and its connections are gone. */
const passwordIs = (servers: readonly RedisServer[], password: string): Promise<void> =>
  onAll(servers, async (admin) => {
    await admin.acl('SETUSER', 'app', 'reset', 'on', `>${password}`, '~*', '&*', '+@all');
    await admin.call('CLIENT', 'KILL', 'USER', 'app');
  });

function engine(driver: LockDriver): RealEngine {
  const created = new RealEngine(driver);
  closing.push(() => created.manager.close(0));
  return created;
}

const host = '127.0.0.1';
const PLACES: Place[] = [
  {
    name: 'one server',
    servers: () => [three[0]!],
    driver: (login) =>
      new RedisDriver({
        host,
        port: three[0]!.port,
        username: () => login().username,
        password: async () => login().password,
      }),
  },
  {
    name: 'a URL',
    servers: () => [three[0]!],
    driver: (login) => new RedisDriver({ url: three[0]!.url, username: 'app', password: () => login().password }),
  },
  {
    name: 'Sentinel, with the same login at the sentinels',
    servers: () => [three[0]!, sentinel],
    driver: (login) =>
      new RedisDriver({
        sentinels: [{ host, port: sentinel.port }],
        name: 'locks',
        username: 'app',
        password: () => login().password,
        sentinelUsername: async () => login().username,
        sentinelPassword: () => login().password,
      }),
  },
  {
    name: 'a cluster',
    servers: () => [node],
    driver: (login) =>
      new RedisDriver({
        cluster: [{ host, port: node.port }],
        redisOptions: { username: 'app', password: async () => login().password },
      }),
  },
  {
    name: 'Redlock',
    servers: () => three,
    driver: (login) =>
      new RedlockDriver({
        servers: three.map(({ port }) => ({ host, port, username: 'app', password: () => login().password })),
      }),
  },
];

describe('a password that changes', () => {
  it.each(PLACES)('is asked for at each connection: $name', async ({ servers, driver }) => {
    const login: Login = { username: 'app', password: 'first' };
    let asked = 0;
    await passwordIs(servers(), 'first');
    const one = engine(
      driver(() => {
        asked++;
        return login;
      }),
    );
    const use = async (): Promise<void> => (await one.manager.acquire(request())).release();
    await use();
    const before = asked;
    login.password = 'second';
    await passwordIs(servers(), 'second');
    await use();
    expect(asked).toBeGreaterThan(before);
    // Another instance hears of a release over the connection for subscriptions, which logs in as well.
    const other = engine(driver(() => login));
    const held = await other.manager.acquire(request({ ttl: 60_000 }));
    const waiting = one.manager.acquire(request({ ttl: 60_000, pollEvery: 60_000 }));
    await one.event('contended');
    await held.release();
    await (await waiting).release();
  });

  it.each(PLACES)('and is wrong for a while is waited for: $name', async ({ servers, driver }) => {
    const login: Login = { username: 'app', password: 'early' };
    await passwordIs(servers(), 'late');
    const one = engine(driver(() => login));
    const error = (await one.manager.connect().catch((reason: Error) => reason)) as Error;
    expect(error).toBeInstanceOf(DriverUnavailableError);
    expect(error.message).toMatch(/WRONGPASS .* — Check (username and password|sentinelUsername and sentinelPassword)/);
    expect(inspect(error, { depth: 10, showHidden: true })).not.toContain('early');
    const waiting = one.manager.acquire(request({ limit: { wait: 15_000 } }));
    login.password = 'late';
    await (await waiting).release();
  });

  it('control: a password that is a text is asked for at the start, and refused at once', async () => {
    await passwordIs([three[0]!], 'first');
    const one = engine(new RedisDriver({ host, port: three[0]!.port, username: 'app', password: 'early' }));
    await expect(one.manager.acquire(request())).rejects.toThrow(LockConfigError);
  });

  it.each<[string, () => string | Promise<string>, RegExp]>([
    [
      'throws',
      () => {
        throw new Error('the vault is sealed');
      },
      /The function `password` failed: the vault is sealed/,
    ],
    ['rejects', () => Promise.reject(new Error('the vault is sealed')), /`password` failed: the vault is sealed/],
    ['gives nothing', () => undefined as never, /The function `password` did not give a text/],
    ['gives an empty text', () => '', /The function `password` did not give a text/],
    ['never answers', () => new Promise<string>(() => undefined), /`password` failed: no answer within 300 ms/],
  ])('a function that %s is the reason, and is asked again', async (_, bad, message) => {
    await passwordIs([three[0]!], 'first');
    let answer = bad;
    const options = { host, port: three[0]!.port, username: 'app', connectTimeout: 300 };
    const one = engine(new RedisDriver({ ...options, password: () => answer() }));
    await expect(one.manager.connect()).rejects.toThrow(message);
    answer = () => 'first';
    await (await one.manager.acquire(request())).release();
  });
});

describe('certificates that are renewed', () => {
  it('are asked for at each connection', async () => {
    const [old, renewed] = [new PrivateCa('Old CA'), new PrivateCa('New CA')];
    closing.push(
      () => old.remove(),
      () => renewed.remove(),
    );
    const files = (ca: PrivateCa, { cert, key }: Certificate): string[] => [
      '--tls-cert-file',
      cert,
      '--tls-key-file',
      key,
      '--tls-ca-cert-file',
      ca.path,
    ];
    const options =
      (ca: PrivateCa, { cert, key }: Certificate) =>
      () => ({
        ca: ca.ca,
        cert: readFileSync(cert),
        key: readFileSync(key),
      });
    const tlsPort = await freePort();
    const server = await RedisServer.start({
      args: ['--tls-port', String(tlsPort), ...files(old, old.issue('server', `IP:${host}`))],
    });
    closing.push(() => server.stop());
    let asked = 0;
    let current = options(old, old.issue('client', 'DNS:client.test'));
    const driver = new RedisDriver({
      host,
      port: tlsPort,
      tls: async () => {
        asked++;
        return current();
      },
    });
    const one = engine(driver);
    await (await one.manager.acquire(request())).release();
    const before = asked;

    current = options(renewed, renewed.issue('client', 'DNS:client.test'));
    const admin = new Redis(server.url);
    closing.push(() => admin.disconnect());
    const now = renewed.issue('server', `IP:${host}`);
    await admin.config('SET', 'tls-cert-file', now.cert, 'tls-key-file', now.key, 'tls-ca-cert-file', renewed.path);
    await admin.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
    await (await one.manager.acquire(request())).release();
    expect(asked).toBeGreaterThan(before);
  });
});
