import dns from 'node:dns';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { LockConfigError } from 'nestjs-dist-lock';
import { EtcdDriver, type EtcdDriverOptions, type EtcdTls } from 'nestjs-dist-lock/etcd';
import { afterEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { PrivateCa } from '../support/servers/certificates.js';
import { EtcdCluster } from '../support/servers/etcd-server.js';
import { RedisServer } from '../support/servers/redis-server.js';
import { useStarted, useTopology } from '../support/servers/use-topology.js';

/** Milliseconds until the start is over, with what a busy machine adds. */
const BOUND = 1500 + 1000;

const ca = useStarted(
  () => new PrivateCa(),
  (authority) => authority.remove(),
);
const plain = useTopology(() => EtcdCluster.start({ members: 3 }));
const secure = useTopology(() => EtcdCluster.start({ tls: { ca: ca.path, ...ca.issue('server', 'IP:127.0.0.1') } }));
const redis = useTopology(() => RedisServer.start());
afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
});

/** A port on which every connection is treated so. */
async function serve(accept: (socket: Socket) => void): Promise<string[]> {
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    onTestFinished(() => void socket.destroy());
    accept(socket);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  return [`127.0.0.1:${(server.address() as AddressInfo).port}`];
}

const never = (): Promise<never> => new Promise(() => undefined);
const resolving = (answer: () => Promise<dns.LookupAddress[]>): void => {
  vi.spyOn(dns.promises, 'lookup').mockImplementation((async () => answer()) as unknown as typeof dns.promises.lookup);
};
const auth = { username: 'u', password: 'secret' };
const fail = (): never => {
  throw new Error('the vault is sealed');
};

const starts: { name: string; options: () => EtcdDriverOptions | Promise<EtcdDriverOptions>; told: RegExp }[] = [
  {
    name: 'nobody listens',
    options: () => ({ hosts: ['127.0.0.1:1'] }),
    told: /etcd at 127\.0\.0\.1:1: connect ECONNREFUSED/,
  },
  {
    name: 'nobody listens at any of a name’s addresses',
    options: () => ({ hosts: ['localhost:1'] }),
    told: /etcd at localhost:1 \(.+\): connect ECONNREFUSED/,
  },
  {
    name: 'it accepts and never answers',
    options: async () => ({ hosts: await serve(() => undefined) }),
    told: /etcd at 127\.0\.0\.1:\d+: no connection within 1\d\d\d ms\. Does an etcd listen there/,
  },
  {
    name: 'three accept and never answer',
    options: async () => ({
      hosts: [...(await serve(() => undefined)), ...(await serve(() => undefined)), ...(await serve(() => undefined))],
    }),
    told: /etcd at 127\.0\.0\.1:\d+: no connection within/,
  },
  {
    name: 'it accepts TLS connections and never answers',
    options: async () => ({ hosts: await serve(() => undefined), tls: {} }),
    told: /etcd at 127\.0\.0\.1:\d+: no connection within/,
  },
  {
    name: 'it closes every connection',
    options: async () => ({ hosts: await serve((socket) => socket.destroy()) }),
    told: /the connection was closed before it was ready — Check host and port/,
  },
  {
    name: 'a Redis listens there',
    options: () => ({ hosts: [`127.0.0.1:${redis.port}`] }),
    told: /etcd at 127\.0\.0\.1:\d+: (the server does not speak gRPC|the connection was closed).* — Check host/,
  },
  {
    name: 'a Redis listens there, and TLS is wanted',
    options: () => ({ hosts: [`127.0.0.1:${redis.port}`], tls: {} }),
    told: /etcd at 127\.0\.0\.1:\d+: .*(with TLS or without|speaks? no TLS)/s,
  },
  {
    name: 'a web server listens there',
    options: async () => ({
      hosts: await serve((socket) => socket.on('data', () => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'))),
    }),
    told: /the server does not speak gRPC — Check host and port/,
  },
  {
    name: 'TLS is wanted of a server that has none',
    options: () => ({ hosts: plain.hosts, tls: {} }),
    told: /etcd at 127\.0\.0\.1:\d+: .*The server (does|may) not use TLS/s,
  },
  {
    name: 'TLS is not wanted of a server that has it',
    options: () => ({ hosts: secure.hosts }),
    told: /etcd at 127\.0\.0\.1:\d+: .*One that serves TLS needs `https:\/\/` or `tls`/,
  },
  {
    name: 'the certificate of the server is not trusted',
    options: () => ({ hosts: secure.hosts, tls: {} }),
    told: /etcd at 127\.0\.0\.1:\d+: .*certificate.* — Check `tls`/,
  },
  {
    name: 'the name has no address',
    options: () => ({ hosts: ['etcd.invalid:2379'] }),
    told: /etcd: no address was found for etcd\.invalid: .*ENOTFOUND/,
  },
  {
    name: 'the name server does not answer',
    options: () => {
      resolving(never);
      return { hosts: ['etcd.example:2379'] };
    },
    told: /etcd: no address was found for etcd\.example: the name server does not answer/,
  },
  {
    name: 'the function `tls` never answers',
    options: () => ({ hosts: secure.hosts, tls: never }),
    told: /the function `tls` failed: it gave no value in time/,
  },
  {
    name: 'the function `tls` fails',
    options: () => ({ hosts: secure.hosts, tls: fail }),
    told: /the function `tls` failed: the vault is sealed/,
  },
  {
    name: 'the function `tls` returns a path',
    options: () => ({ hosts: secure.hosts, tls: () => ({ ca: '/etc/ca.pem' }) }),
    told: /tls\.ca: expected the text of a PEM file/,
  },
  {
    name: 'the function `tls` returns nothing',
    options: () => ({ hosts: secure.hosts, tls: (() => undefined) as unknown as () => EtcdTls }),
    told: /tls: the function returned nothing/,
  },
  {
    name: 'the function `auth` never answers',
    options: () => ({ hosts: plain.hosts, auth: never }),
    told: /the function `auth` failed: it gave no value in time/,
  },
  {
    name: 'the function `auth` fails',
    options: () => ({ hosts: plain.hosts, auth: fail }),
    told: /the function `auth` failed: the vault is sealed/,
  },
  {
    name: 'the function `auth` returns nothing',
    options: () => ({ hosts: plain.hosts, auth: (() => undefined) as unknown as () => typeof auth }),
    told: /auth: the function returned nothing/,
  },
];

async function refused(options: EtcdDriverOptions): Promise<{ error: Error; took: number; warnings: string[] }> {
  const warnings: string[] = [];
  const driver = new EtcdDriver(options);
  const startedAt = performance.now();
  const listener = (event: { type: string; message?: string }): void => {
    if (event.type === 'warning') warnings.push(event.message!);
  };
  onTestFinished(() => driver.close(listener));
  const error = await driver.connect(listener).then(
    () => expect.unreachable('it is connected'),
    (reason: unknown) => reason as Error,
  );
  return { error, took: performance.now() - startedAt, warnings };
}

describe('the start is over in time, and says host and reason, when', () => {
  it.each(starts)('$name', async ({ options, told }) => {
    const { error, took } = await refused(await options());
    expect(error.message).toMatch(told);
    expect(error.message).not.toMatch(/undefined|null|Last error|secret/);
    expect(took).toBeLessThan(BOUND);
  });

  it('the quorum is lost', async () => {
    const [leader, followers] = [await plain.leader(), await plain.followers()];
    onTestFinished(() => plain.restore());
    for (const follower of followers) follower.pause();
    // It leads on until the next election: until then the start rightly finds a leader.
    await vi.waitFor(async () => expect(await leader.status()).toBeUndefined(), { timeout: 5000, interval: 20 });
    const { error, took } = await refused({ hosts: plain.hosts });
    expect(error.message).toMatch(/etcd at 127\.0\.0\.1:\d+: (etcdserver|no answer in time|no connection within)/);
    expect(took).toBeLessThan(BOUND);
  });
});

describe('a proxy in the environment', () => {
  it.each(['http_proxy', 'https_proxy', 'grpc_proxy', 'HTTP_PROXY'])(
    '%s is not asked the way to etcd',
    async (name) => {
      vi.stubEnv(name, 'http://127.0.0.1:9');
      const driver = new EtcdDriver({ hosts: plain.hosts });
      const listener = (): void => undefined;
      onTestFinished(() => driver.close(listener));
      await driver.connect(listener);
    },
  );
});

describe('`auth` where etcd asks for no password', () => {
  it('is not used, with a warning', async () => {
    const warnings: unknown[] = [];
    const driver = new EtcdDriver({ hosts: plain.hosts, auth });
    const listener = (event: { type: string }): void => void warnings.push(event);
    onTestFinished(() => driver.close(listener));
    await driver.connect(listener);
    expect(await driver.inspect('billing:l:k')).toBeNull();
    expect(warnings).toContainEqual({ type: 'warning', message: expect.stringMatching(/`auth` is used once/) });
  });
});

describe('options that are wrong', () => {
  it('are no store that is away', async () => {
    const { error } = await refused({ hosts: secure.hosts, tls: () => ({ ca: '/etc/ca.pem' }) });
    expect(error).toBeInstanceOf(LockConfigError);
  });
});
