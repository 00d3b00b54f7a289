import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { inspect } from 'node:util';
import { Redis, type RedisOptions } from 'ioredis';
import { LockConfigError } from 'nestjs-dist-lock';
import { RedisDriver } from 'nestjs-dist-lock/redis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { request } from '../support/engine/engine.js';
import { RealEngine } from '../support/engine/real-engine.js';
import { type Certificate, PrivateCa } from '../support/servers/certificates.js';
import { RedisServer } from '../support/servers/redis-server.js';
import { TcpProxy } from '../support/servers/tcp-proxy.js';
import { useClosing } from '../support/servers/use-topology.js';

// A real server with a certificate of a private authority, which asks for none of its clients.

const PASSWORD = 'top-secret';
let ca: PrivateCa;
let another: PrivateCa;
let server: RedisServer;
let port: number;
let client: Certificate;
const closing = useClosing();

async function freePort(): Promise<number> {
  const proxy = await TcpProxy.start(1);
  await proxy.close();
  return proxy.port;
}

async function startServer({ cert, key }: Certificate, clients = 'no'): Promise<RedisServer> {
  const tls = ['--tls-cert-file', cert, '--tls-key-file', key, '--tls-ca-cert-file', ca.path];
  return RedisServer.start({
    args: ['--tls-port', String(await freePort()), ...tls, '--tls-auth-clients', clients, '--requirepass', PASSWORD],
  });
}

/** `server.port` is the one without TLS. */
async function tlsPortOf({ url }: RedisServer): Promise<number> {
  const admin = new Redis(url, { password: PASSWORD });
  const [, found] = await admin.config('GET', 'tls-port');
  admin.disconnect();
  return Number(found);
}

beforeAll(async () => {
  ca = new PrivateCa();
  another = new PrivateCa('Another CA');
  server = await startServer(ca.issue('server', 'IP:127.0.0.1,DNS:redis.test'));
  client = ca.issue('client', 'DNS:client.test');
  port = await tlsPortOf(server);
});

afterAll(async () => {
  await server.stop();
  ca.remove();
  another.remove();
});

function engine(options: ConstructorParameters<typeof RedisDriver>[0]): RealEngine {
  const created = new RealEngine(new RedisDriver(options));
  closing.push(() => created.manager.close(0));
  return created;
}

const url = (scheme = 'rediss', at = port): string => `${scheme}://:${PASSWORD}@127.0.0.1:${at}`;

async function refusal(options: RedisOptions & { url: string }): Promise<Error> {
  const { manager } = engine(options);
  const error = await manager.connect().then(
    () => expect.fail('connected'),
    (reason: Error) => reason,
  );
  await expect(manager.acquire(request({ limit: { attempts: 1, retryDelay: 1 } }))).rejects.toThrow(error.constructor);
  expect(inspect(error, { depth: 10, showHidden: true })).not.toContain(PASSWORD);
  return error;
}

describe('RedisDriver connects over TLS', () => {
  it.each<[string, () => ConstructorParameters<typeof RedisDriver>[0]]>([
    ['a rediss: URL and the CA', () => ({ url: url(), tls: { ca: ca.ca } })],
    ['options', () => ({ host: '127.0.0.1', port, password: PASSWORD, tls: { ca: ca.ca } })],
    [
      "a user's client",
      () => ({
        client: new Redis({ host: '127.0.0.1', port, password: PASSWORD, lazyConnect: true, tls: { ca: ca.ca } }),
      }),
    ],
    ['another name of the certificate', () => ({ url: url(), tls: { ca: ca.ca, servername: 'redis.test' } })],
  ])('with %s, and is handed a lock', async (_, options) => {
    const [first, second] = [engine(options()), engine(options())];
    const held = await first.manager.acquire(request({ ttl: 60_000 }));
    const waiting = second.manager.acquire(request({ pollEvery: 60_000 }));
    await second.event('contended');
    await held.release();
    const lock = await waiting;
    expect(lock.fencingToken).toBeGreaterThan(held.fencingToken);
    await lock.release();
  });

  it('with a certificate of its own, where the server wants one', async () => {
    const strict = await startServer(ca.issue('strict', 'IP:127.0.0.1'), 'yes');
    closing.push(() => strict.stop());
    const at = await tlsPortOf(strict);
    const [cert, key] = [readFileSync(client.cert), readFileSync(client.key)];
    const { manager } = engine({ url: url('rediss', at), tls: { ca: ca.ca, cert, key } });
    await (await manager.acquire(request())).release();

    // The server hangs up after its alert, and sometimes the hang-up is noticed first: then a later attempt tells.
    const { manager: stranger } = engine({ url: url('rediss', at), tls: { ca: ca.ca } });
    await expect(stranger.connect()).rejects.toThrow(/^Redis at 127\.0\.0\.1:\d+: /);
    const once = request({ limit: { attempts: 1, retryDelay: 1 } });
    const reason = (): Promise<unknown> => stranger.acquire(once).catch(String);
    await expect.poll(reason, { timeout: 15_000 }).toMatch(/The server asks for a certificate of its clients/);
  });

  it('and is closed in a handshake that fails, without an error that nobody hears', async () => {
    for (let round = 0; round < 60; round++) {
      const driver = new RedisDriver({ url: url(), tls: { ca: another.ca } });
      const listener = (): void => undefined;
      const connecting = driver.connect(listener).catch(() => undefined);
      await sleep(Math.random() * 12);
      await driver.close(listener);
      await connecting;
    }
  });
});

describe('RedisDriver says what is wrong with', () => {
  it.each<[string, () => RedisOptions, RegExp]>([
    ['a missing CA', () => ({}), /certificate.* — Pass the certificate of the server's CA as `tls: \{ ca \}`/],
    ['another CA', () => ({ tls: { ca: another.ca } }), /certificate.* — Pass the certificate of the server's CA/],
    [
      'a certificate for another host',
      () => ({ tls: { ca: ca.ca, servername: 'other.test' } }),
      /altnames: Host: other\.test.* — Connect by a name of the server's certificate, or .*servername/,
    ],
  ])('%s', async (_, options, message) => {
    const error = await refusal({ url: url(), ...options() });
    expect(error).toBeInstanceOf(LockConfigError);
    expect(error.message).toMatch(/^Redis at 127\.0\.0\.1:\d+: /);
    expect(error.message).toMatch(message);
  });

  it('a certificate that has expired', async () => {
    const late = await startServer(ca.issue('late', 'IP:127.0.0.1', -1));
    closing.push(() => late.stop());
    const error = await refusal({ url: url('rediss', await tlsPortOf(late)), tls: { ca: ca.ca } });
    expect(error.message).toMatch(/certificate has expired — Renew the server's certificate/);
    expect(error).toBeInstanceOf(LockConfigError);
  });

  it.each<[string, () => RedisOptions & { url: string }, RegExp]>([
    [
      'without TLS',
      () => ({ url: url('rediss', server.port), tls: { ca: ca.ca } }),
      /This port speaks Redis without TLS\. — Use a redis: URL, or leave out `tls`\.$/,
    ],
    [
      'with TLS, of which the URL says nothing',
      () => ({ url: url('redis') }),
      /This port speaks TLS\. — Use a rediss: URL, or pass `tls`/,
    ],
  ])('a port %s', async (_, options, message) => {
    const error = await refusal({ ...options(), connectTimeout: 500 });
    expect(error).toBeInstanceOf(LockConfigError);
    expect(error.message).toMatch(/^Redis at 127\.0\.0\.1:\d+/);
    expect(error.message).toMatch(message);
  });
});
