import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { inspect } from 'node:util';
import { Redis } from 'ioredis';
import { DriverUnavailableError, LockConfigError } from 'nestjs-dist-lock';
import { RedisDriver, type RedisDriverOptions, RedlockDriver } from 'nestjs-dist-lock/redis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { LockDriver } from '../../lib/core/lock-driver.js';
import { request } from '../support/engine/engine.js';
import { RealEngine } from '../support/engine/real-engine.js';
import { PrivateCa } from '../support/servers/certificates.js';
import { FakeServer } from '../support/servers/fake-server.js';
import { freePort, RedisServer } from '../support/servers/redis-server.js';
import { TcpProxy } from '../support/servers/tcp-proxy.js';
import { useClosing } from '../support/servers/use-topology.js';

// Why a first connection fails, on each topology: in time, with a reason, and never for good.

const CONNECT = 1500;
const COMMAND = 500;
/** What a busy machine may add. */
const MARGIN = 1000;
const limits = { connectTimeout: CONNECT, commandTimeout: COMMAND, socketTimeout: 600 };
const PASSWORD = 'top-secret';
const WAITING = fileURLToPath(new URL('redis-waiting.mjs', import.meta.url));

const closing = useClosing();
let server: RedisServer;
let locked: RedisServer;
let sentinel: RedisServer;
let lockedSentinel: RedisServer;
let ca: PrivateCa;
let tls: RedisServer;
let tlsPort: number;
const folder = mkdtempSync(join(tmpdir(), 'start-'));

async function startSentinel(master: number, more = ''): Promise<RedisServer> {
  const config = join(folder, `${Math.random()}.conf`);
  writeFileSync(config, `sentinel monitor locks 127.0.0.1 ${master} 1\n${more}`);
  return RedisServer.start({ config });
}

beforeAll(async () => {
  server = await RedisServer.start();
  locked = await RedisServer.start({ args: ['--requirepass', PASSWORD] });
  sentinel = await startSentinel(server.port);
  lockedSentinel = await startSentinel(server.port, `requirepass ${PASSWORD}\n`);
  ca = new PrivateCa();
  const { cert, key } = ca.issue('server', 'IP:127.0.0.1');
  tlsPort = await freePort();
  const files = ['--tls-cert-file', cert, '--tls-key-file', key, '--tls-ca-cert-file', ca.path];
  tls = await RedisServer.start({ args: ['--tls-port', String(tlsPort), ...files, '--tls-auth-clients', 'no'] });
});
afterAll(async () => {
  for (const each of [server, locked, sentinel, lockedSentinel, tls]) await each.stop();
  ca.remove();
  rmSync(folder, { recursive: true });
});

function engine(driver: LockDriver): RealEngine {
  const created = new RealEngine(driver);
  closing.push(() => created.manager.close(0));
  return created;
}

async function fake(treat: Parameters<typeof FakeServer.start>[0]): Promise<number> {
  const listening = await FakeServer.start(treat);
  closing.push(() => listening.close());
  return listening.port;
}

const silent = (): Promise<number> => fake((socket) => socket.resume());
const hangUp = (): Promise<number> => fake((socket) => socket.end());
const full = (): Promise<number> => fake((socket) => socket.end('-ERR max number of clients reached\r\n'));
const http = (): Promise<number> =>
  fake((socket) => socket.once('data', () => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')));

/** A node of a cluster that nobody has given slots. */
async function emptyCluster(): Promise<number> {
  const node = await RedisServer.start({
    args: ['--cluster-enabled', 'yes', '--cluster-announce-ip', '127.0.0.1'],
    highest: 55_000,
  });
  closing.push(() => node.stop());
  return node.port;
}

/** Reads its data for as long as the test runs. */
async function loading(): Promise<number> {
  const slow = await RedisServer.start({ args: ['--enable-debug-command', 'yes'] });
  closing.push(() => slow.stop());
  const admin = new Redis(slow.url, { enableReadyCheck: false });
  closing.push(() => admin.disconnect());
  admin.on('error', () => undefined);
  await admin.call('DEBUG', 'POPULATE', '100000', 'key', '100');
  await admin.config('SET', 'key-load-delay', '100');
  await admin.config('SET', 'loading-process-events-interval-bytes', '1024');
  admin.call('DEBUG', 'RELOAD').catch(() => undefined);
  const witness = new Redis(slow.url, { enableReadyCheck: false });
  closing.push(() => witness.disconnect());
  await expect.poll(() => witness.get('x').catch((error: Error) => error.message)).toMatch(/LOADING/);
  return slow.port;
}

interface Row {
  readonly name: string;
  readonly options: (port: number) => RedisDriverOptions;
  readonly port: () => Promise<number> | number;
  readonly text: RegExp;
  readonly kind?: typeof LockConfigError;
}

const single = (port: number): RedisDriverOptions => ({ host: '127.0.0.1', port, ...limits });
const bySentinel = (port: number): RedisDriverOptions & { sentinels: unknown } => ({
  sentinels: [{ host: '127.0.0.1', port }],
  name: 'locks',
  ...limits,
});
const onCluster = (port: number): RedisDriverOptions => ({
  cluster: [{ host: '127.0.0.1', port }],
  redisOptions: limits,
});

const ROWS: Row[] = [
  { name: 'refused', options: single, port: () => freePort(), text: /127\.0\.0\.1:\d+: connect ECONNREFUSED/ },
  {
    name: 'refused at a name with two addresses',
    options: (port) => ({ ...single(port), host: 'localhost' }),
    port: () => freePort(),
    text: /^Redis at localhost:\d+: connect ECONNREFUSED/,
  },
  {
    name: 'a name that nobody knows',
    options: (port) => ({ ...single(port), host: 'nobody.invalid' }),
    port: () => 1,
    text: /nobody\.invalid:1: getaddrinfo (ENOTFOUND|EAI_AGAIN) nobody\.invalid/,
  },
  {
    name: 'no socket',
    options: () => ({ path: '/nowhere.sock', ...limits }),
    port: () => 1,
    text: /ENOENT \/nowhere\.sock/,
  },
  {
    name: 'accepts and says nothing',
    options: single,
    port: silent,
    text: /accepts connections and does not answer\. — Check host/,
  },
  {
    name: 'TLS that never shakes hands',
    options: (port) => ({ ...single(port), tls: {} }),
    port: silent,
    text: /ETIMEDOUT/,
  },
  {
    name: 'hangs up at once',
    options: single,
    port: hangUp,
    text: /This port closes the connection and sends nothing\. — Check host and port/,
  },
  {
    name: 'has too many clients',
    options: single,
    port: full,
    text: /max number of clients reached — The server takes no further connection: raise maxclients/,
  },
  { name: 'is a web server', options: single, port: http, text: /speaks HTTP, not Redis/, kind: LockConfigError },
  {
    name: 'LOADING',
    options: single,
    port: loading,
    text: /LOADING .* — The server answers when it has read its data/,
  },
  {
    name: 'a wrong password',
    options: (port) => ({ ...single(port), password: `${PASSWORD}!` }),
    port: () => locked.port,
    text: /WRONGPASS .* — Check username and password/,
    kind: LockConfigError,
  },
  {
    name: 'no password',
    options: single,
    port: () => locked.port,
    text: /NOAUTH .* — Check username and password/,
    kind: LockConfigError,
  },
  {
    name: 'a sentinel',
    options: single,
    port: () => sentinel.port,
    text: /is a sentinel, which keeps no locks\. Pass it as \{ sentinels:/,
    kind: LockConfigError,
  },
  {
    name: 'a port with TLS',
    options: single,
    port: () => tlsPort,
    text: /This port speaks TLS\. — Use a rediss: URL/,
    kind: LockConfigError,
  },
  {
    name: 'a port without TLS',
    options: (port) => ({ ...single(port), tls: {} }),
    port: () => server.port,
    text: /speaks Redis without TLS\. — Use a redis: URL/,
    kind: LockConfigError,
  },

  {
    name: 'Sentinel, refused',
    options: bySentinel,
    port: () => freePort(),
    text: /^Redis at locks \(sentinels 127\.0\.0\.1:\d+\): sentinel 127\.0\.0\.1:\d+: connect ECONNREFUSED/,
  },
  {
    name: 'Sentinel, silent',
    options: bySentinel,
    port: silent,
    text: /sentinel 127\.0\.0\.1:\d+: .*(timed out|ETIMEDOUT|does not answer)/,
  },
  {
    name: 'Sentinel, another name',
    options: (port) => ({ ...bySentinel(port), name: 'lokcs' }),
    port: () => sentinel.port,
    text: /knows no master named "lokcs"\. — Check `name`/,
  },
  {
    name: 'Sentinel with a password',
    options: bySentinel,
    port: () => lockedSentinel.port,
    text: /sentinel .*NOAUTH.* — Check sentinelUsername and sentinelPassword/,
    kind: LockConfigError,
  },
  {
    name: 'sentinels that are servers',
    options: bySentinel,
    port: () => server.port,
    text: /sentinel .*unknown command.* — This is a server, no sentinel/i,
    kind: LockConfigError,
  },
  {
    name: 'Sentinel with TLS, not said',
    options: bySentinel,
    port: () => tlsPort,
    text: /sentinel 127.*: This port speaks TLS\. — Pass `sentinelTLS`/,
    kind: LockConfigError,
  },
  {
    name: 'Sentinel without TLS',
    options: (port) => ({ ...bySentinel(port), sentinelTLS: {} }),
    port: () => sentinel.port,
    text: /sentinel 127.*without TLS\. — Leave out `sentinelTLS`/,
    kind: LockConfigError,
  },
  {
    name: 'a master with TLS, not said',
    options: bySentinel,
    port: async () => {
      const one = await startSentinel(tlsPort);
      closing.push(() => one.stop());
      return one.port;
    },
    text: /master 127.*: This port speaks TLS\. — Pass `tls`/,
    kind: LockConfigError,
  },
  {
    name: 'a master without TLS',
    options: (port) => ({ ...bySentinel(port), tls: {} }),
    port: () => sentinel.port,
    text: /master 127.*without TLS\. — Leave out `tls`/,
    kind: LockConfigError,
  },

  {
    name: 'cluster, refused',
    options: onCluster,
    port: () => freePort(),
    text: /^Redis at cluster of 127\.0\.0\.1:\d+: connect ECONNREFUSED/,
  },
  {
    name: 'cluster, a name that nobody knows',
    options: () => ({ cluster: [{ host: 'nobody.invalid', port: 1 }], redisOptions: limits }),
    port: () => 1,
    text: /nobody\.invalid:1: getaddrinfo/,
  },
  { name: 'cluster, silent', options: onCluster, port: silent, text: /does not answer|timed out/ },
  {
    name: 'cluster without slots',
    options: onCluster,
    port: emptyCluster,
    text: /The cluster is not ready\. CLUSTER INFO says why/,
  },
  {
    name: 'a server that is no cluster',
    options: onCluster,
    port: () => server.port,
    text: /cluster support disabled — This server is no cluster: pass \{ host, port \}/,
    kind: LockConfigError,
  },
  {
    name: 'cluster, a wrong password',
    options: (port) => ({ cluster: [{ host: '127.0.0.1', port }], redisOptions: { ...limits, password: 'x' } }),
    port: () => locked.port,
    text: /WRONGPASS .* — Check username and password/,
    kind: LockConfigError,
  },
  {
    name: 'cluster with TLS, not said',
    options: onCluster,
    port: () => tlsPort,
    text: /This port speaks TLS\. — .*`redisOptions`/,
    kind: LockConfigError,
  },
];

const IOREDIS =
  /None of startup nodes|sentinels are unreachable|Connection is closed|is not connected|Failed to refresh|max retries|writeable/;

describe('a first connection that fails', () => {
  it.each(ROWS)('$name', async ({ options, port, text, kind }) => {
    const at = await port();
    const { manager } = engine(new RedisDriver(options(at)));
    const before = performance.now();
    const error: Error = await manager.connect().then(
      () => expect.fail('connected'),
      (reason: Error) => reason,
    );
    expect(performance.now() - before).toBeLessThan(CONNECT + COMMAND + MARGIN);
    expect(error.message).toMatch(text);
    expect(error.message).toMatch(/^Redis at /);
    expect(error.message).not.toMatch(IOREDIS);
    expect(error).toBeInstanceOf(kind ?? DriverUnavailableError);
    const refused: Error = await manager.acquire(request({ limit: { attempts: 1, retryDelay: 1 } })).then(
      () => expect.fail('acquired'),
      (reason: Error) => reason,
    );
    expect(refused).toBeInstanceOf(kind ?? DriverUnavailableError);
    expect(inspect([error, refused], { depth: 10, showHidden: true })).not.toContain(PASSWORD);
  });

  it('of Redlock: a quorum that cannot be reached', async () => {
    const ports = [server.port, await freePort(), await silent()];
    const servers = ports.map((port) => Object.assign({ host: '127.0.0.1', port }, limits));
    const before = performance.now();
    const error = await engine(new RedlockDriver({ servers }))
      .manager.connect()
      .catch((reason: Error) => reason);
    expect(performance.now() - before).toBeLessThan(CONNECT + COMMAND + MARGIN);
    expect((error as Error).message).toMatch(/2 of 3 servers did not answer.*ECONNREFUSED.*does not answer/);
  });
});

describe('a store that comes up later is used', () => {
  const late: [
    string,
    (port: number) => RedisDriverOptions,
    () => Promise<{ port: number; up: () => Promise<unknown> }>,
  ][] = [
    [
      'one server',
      single,
      async () => {
        const port = await freePort();
        return {
          port,
          up: async () => {
            const one = await RedisServer.start({ port });
            closing.push(() => one.stop());
          },
        };
      },
    ],
    [
      'behind something that accepts and says nothing',
      single,
      async () => {
        const proxy = await TcpProxy.start(server.port);
        closing.push(() => proxy.close());
        proxy.blackhole();
        return { port: proxy.port, up: async () => proxy.heal() };
      },
    ],
    [
      'a master that the sentinels learn of later',
      bySentinel,
      async () => {
        const config = join(folder, 'late.conf');
        writeFileSync(config, '');
        const one = await RedisServer.start({ config });
        closing.push(() => one.stop());
        const up = async (): Promise<void> => {
          const admin = new Redis(one.port);
          await admin.call('SENTINEL', 'MONITOR', 'locks', '127.0.0.1', server.port, '1');
          admin.disconnect();
        };
        return { port: one.port, up };
      },
    ],
    [
      'a cluster that has no slots yet',
      onCluster,
      async () => {
        const port = await emptyCluster();
        const up = async (): Promise<void> => {
          const admin = new Redis(port);
          await admin.call('CLUSTER', 'ADDSLOTSRANGE', 0, 16383);
          admin.disconnect();
        };
        return { port, up };
      },
    ],
    [
      'a cluster that is down',
      onCluster,
      async () => {
        const port = await emptyCluster();
        const admin = new Redis(port);
        await admin.call('CLUSTER', 'ADDSLOTSRANGE', 0, 16382);
        const up = async (): Promise<void> => {
          await admin.call('CLUSTER', 'ADDSLOTS', 16383);
          admin.disconnect();
        };
        return { port, up };
      },
    ],
  ];

  it.each(late)('%s', async (_, options, prepare) => {
    const { port, up } = await prepare();
    const one = engine(new RedisDriver(options(port)));
    await expect(one.manager.connect()).rejects.toThrow(DriverUnavailableError);
    const waiting = one.manager.acquire(request({ limit: { wait: 15_000 } }));
    await up();
    const lock = await waiting;
    expect(lock.held).toBe(true);
    await one.store('up');
    await lock.release();
  });
});

describe('a process whose only work is to wait for Redis', () => {
  it.each<[string, (port: number) => RedisDriverOptions]>([
    ['one server', single],
    ['Sentinel', bySentinel],
    ['a cluster', onCluster],
  ])('goes on: %s', async (_, options) => {
    const port = await freePort();
    const child = spawn(process.execPath, [WAITING, JSON.stringify(options(port))], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    closing.push(() => child.kill('SIGKILL'));
    let output = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
    const end = once(child, 'exit');
    await expect.poll(() => output, { timeout: 15_000 }).toContain('failed: Redis at');
    // Several attempts later.
    await Promise.race([end, sleep(2500)]);
    expect([child.exitCode, child.signalCode]).toEqual([null, null]);
    child.kill('SIGTERM');
    expect(await end).toEqual([0, null]);
    expect(output).toContain('closed');
  });
});
