import { mkdir, rm } from 'node:fs/promises';
import { inspect } from 'node:util';
import { Redis, type RedisOptions } from 'ioredis';
import { DriverUnavailableError, LockConfigError } from 'nestjs-dist-lock';
import { RedisDriver } from 'nestjs-dist-lock/redis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { classify } from '../../lib/drivers/redis/commands/reply-errors.js';
import { until } from '../../lib/testing/until.js';
import { request } from '../support/engine/engine.js';
import { RealEngine } from '../support/engine/real-engine.js';
import { RedisServer } from '../support/servers/redis-server.js';
import { TcpProxy } from '../support/servers/tcp-proxy.js';
import { useRedis } from '../support/servers/use-redis.js';

// Every failure is provoked on a real server, because their texts differ from what one expects.

const redis = useRedis('--enable-debug-command yes --lua-time-limit 20 --repl-diskless-sync-delay 0'.split(' '));
const PASSWORD = 'top/secret%';
const name = 'test:l:k';

/** Where a failure takes place. */
interface Scene {
  readonly admin: Redis;
  /** Of the server, or of the proxy in front of it. */
  readonly port: number;
  readonly proxy?: TcpProxy;
}

/** `retryable`: not executed, try again. `unknown`: perhaps executed. `configuration`: not executed, and never will be. */
type Meaning = 'retryable' | 'unknown' | 'configuration';

interface Failure {
  readonly name: string;
  /** Default: the server of this file. */
  readonly where?: () => Promise<Scene>;
  /** Whether it is there when the driver connects; else the driver has used the server before. */
  readonly fromStart?: boolean;
  readonly options?: RedisOptions;
  /** Resolves, once an acquire fails, with what removes the cause. */
  readonly provoke: (scene: Scene, engine: RealEngine) => Promise<() => unknown>;
  readonly meaning: Meaning;
  /** The server's text and, behind a dash, the repair. */
  readonly text: RegExp;
}

async function addUser(admin: Redis): Promise<void> {
  await admin.acl('SETUSER', 'app', 'reset', 'on', `>${PASSWORD}`, '~*', '&*', '+@all');
}

async function ownServer(...args: string[]): Promise<Scene> {
  const server = await RedisServer.start({ args });
  redis.closing.push(() => server.stop());
  return { admin: await adminOf(server), port: server.port };
}

async function adminOf(server: RedisServer): Promise<Redis> {
  const admin = new Redis(server.url);
  redis.closing.push(() => admin.disconnect());
  admin.on('error', () => undefined);
  await addUser(admin);
  return admin;
}

async function replica(): Promise<Scene> {
  const scene = await ownServer('--replicaof', '127.0.0.1', String(redis.server.port));
  await expect.poll(() => scene.admin.info('replication'), { timeout: 10_000 }).toMatch(/master_link_status:up/);
  return scene;
}

async function proxied(): Promise<Scene> {
  const proxy = await TcpProxy.start(redis.server.port);
  redis.closing.push(() => proxy.close());
  return { admin: redis.admin, port: proxy.port, proxy };
}

const setting =
  (option: string, value: string) =>
  async ({ admin }: Scene): Promise<() => unknown> => {
    const [, before] = await admin.config('GET', option);
    await admin.config('SET', option, value);
    return () => admin.config('SET', option, before!);
  };

const rules =
  (...changes: string[]) =>
  async ({ admin }: Scene): Promise<() => unknown> => {
    await admin.acl('SETUSER', 'app', ...changes);
    return () => addUser(admin);
  };

/** Two nodes of a cluster; the first has all slots but one, without which the second would become its replica. */
const cluster: { servers: RedisServer[]; nodes: Redis[]; ids: string[]; slot: number } = {
  servers: [],
  nodes: [],
  ids: [],
  slot: 0,
};

async function firstNode(): Promise<Scene> {
  const [first] = cluster.nodes;
  return { admin: first!, port: cluster.servers[0]!.port };
}

/** On the first node and on the second, which learns from it otherwise, later. */
async function setSlot(onFirst: string[], onSecond: string[]): Promise<void> {
  const [first, second] = cluster.nodes;
  await first!.call('CLUSTER', 'SETSLOT', cluster.slot, ...onFirst);
  await second!.call('CLUSTER', 'SETSLOT', cluster.slot, ...onSecond);
}

async function migrating(): Promise<() => unknown> {
  const [first, second] = cluster.ids;
  await setSlot(['MIGRATING', second!], ['IMPORTING', first!]);
  return () => setSlot(['STABLE'], ['STABLE']);
}

const FAILURES: Failure[] = [
  {
    name: 'OOM',
    provoke: setting('maxmemory', '1'),
    meaning: 'retryable',
    text: /OOM .* — Redis is out of memory: raise maxmemory/s,
  },
  {
    name: 'BUSY',
    provoke: async ({ admin }) => {
      const hog = new Redis(redis.server.url);
      redis.closing.push(() => hog.disconnect());
      const hogging = hog.eval('while true do end', 0).catch((error: unknown) => error);
      await expect.poll(() => admin.ping().catch((error: Error) => error.message)).toMatch(/BUSY/);
      return async () => {
        await admin.script('KILL');
        await hogging;
      };
    },
    meaning: 'retryable',
    text: /BUSY .* — A script runs for too long: SCRIPT KILL/s,
  },
  {
    name: 'READONLY',
    where: replica,
    fromStart: true,
    provoke:
      async ({ admin }) =>
      () =>
        admin.replicaof('NO', 'ONE'),
    meaning: 'retryable',
    text: /READONLY .* — This server is a replica; connect to the master/s,
  },
  {
    name: 'MASTERDOWN',
    where: replica,
    fromStart: true,
    options: { enableReadyCheck: false },
    provoke: async ({ admin }) => {
      await admin.config('SET', 'replica-serve-stale-data', 'no');
      await admin.replicaof('127.0.0.1', 1);
      await expect.poll(() => admin.get('x').catch((error: Error) => error.message)).toMatch(/MASTERDOWN/);
      return () => admin.replicaof('NO', 'ONE');
    },
    meaning: 'retryable',
    text: /MASTERDOWN .* — This server is a replica that lost its master/s,
  },
  {
    name: 'NOREPLICAS',
    provoke: setting('min-replicas-to-write', '1'),
    meaning: 'retryable',
    text: /NOREPLICAS .* — Too few replicas are attached: .* lower min-replicas-to-write/s,
  },
  {
    name: 'MISCONF',
    where: () => ownServer(),
    provoke: async ({ admin }) => {
      const [, folder] = await admin.config('GET', 'dir');
      await admin.config('SET', 'save', '3600 1');
      await admin.set('x', '1');
      await mkdir(`${folder}/dump.rdb/x`, { recursive: true });
      await admin.bgsave();
      await expect.poll(() => admin.info('persistence'), { timeout: 10_000 }).toMatch(/rdb_last_bgsave_status:err/);
      return async () => {
        await rm(`${folder}/dump.rdb`, { recursive: true });
        await admin.bgsave();
        await expect.poll(() => admin.info('persistence'), { timeout: 10_000 }).toMatch(/rdb_last_bgsave_status:ok/);
      };
    },
    meaning: 'retryable',
    text: /MISCONF .* — Redis cannot save its data: the log of the server says why/s,
  },
  {
    name: 'LOADING',
    where: () => ownServer('--enable-debug-command', 'yes'),
    provoke: async ({ admin, port }) => {
      await admin.call('DEBUG', 'POPULATE', '10000', 'key', '100');
      await admin.config('SET', 'key-load-delay', '50');
      await admin.config('SET', 'loading-process-events-interval-bytes', '1024');
      // Reloads for about a second, and answers LOADING meanwhile.
      const reloading = admin.call('DEBUG', 'RELOAD');
      const witness = new Redis(port, { enableReadyCheck: false });
      redis.closing.push(() => witness.disconnect());
      await expect.poll(() => witness.get('x').catch((error: Error) => error.message)).toMatch(/LOADING/);
      return async () => {
        await reloading;
        await admin.flushall();
      };
    },
    meaning: 'retryable',
    text: /LOADING .* — The server answers when it has read its data from disk/s,
  },
  {
    name: 'maxclients',
    where: () => ownServer('--maxclients', '4'),
    fromStart: true,
    provoke: async ({ port }) => {
      const guests = Array.from({ length: 3 }, () => new Redis(port));
      redis.closing.push(() => guests.forEach((guest) => guest.disconnect()));
      await Promise.all(guests.map((guest) => guest.ping()));
      return () => guests.forEach((guest) => guest.disconnect());
    },
    meaning: 'retryable',
    // The server hangs up after its reply, and the hang-up is often noticed first: then it is asked again.
    text: /max number of clients .* — The server takes no further connection: raise maxclients/s,
  },
  {
    name: 'a refused connection',
    where: proxied,
    provoke: async ({ proxy }, engine) => {
      proxy!.refuse();
      await engine.store('down');
      return () => proxy!.accept();
    },
    meaning: 'retryable',
    text: /^(?:Lock "k": could not be acquired within \d+ ms\..* )?Redis at 127\.0\.0\.1:\d+/,
  },
  {
    name: 'CLUSTERDOWN',
    where: firstNode,
    provoke: async ({ admin }) => {
      await admin.call('CLUSTER', 'DELSLOTS', cluster.slot);
      return () => admin.call('CLUSTER', 'ADDSLOTS', cluster.slot);
    },
    meaning: 'retryable',
    text: /CLUSTERDOWN .* — The cluster has no master for the slot/s,
  },
  {
    name: 'MOVED',
    where: firstNode,
    provoke: async ({ admin }) => {
      const [first, second] = cluster.ids;
      await admin.flushall();
      await setSlot(['NODE', second!], ['NODE', second!]);
      return () => setSlot(['NODE', first!], ['NODE', first!]);
    },
    meaning: 'retryable',
    text: /MOVED \d+ 127\.0\.0\.1:\d+ — This server is one of a cluster: use the `cluster` option/,
  },
  {
    name: 'ASK',
    where: firstNode,
    provoke: async ({ admin }) => {
      await admin.flushall();
      return migrating();
    },
    meaning: 'retryable',
    text: /ASK \d+ 127\.0\.0\.1:\d+ — This server is one of a cluster/,
  },
  {
    name: 'TRYAGAIN',
    where: firstNode,
    // The mark of the tokens is there, the other keys are not.
    provoke: migrating,
    meaning: 'retryable',
    text: /TRYAGAIN .* — A slot is half-way from one node to another.*`redis-cli --cluster fix`/s,
  },
  {
    name: 'NOPERM, for a command',
    provoke: rules('-evalsha'),
    meaning: 'configuration',
    text: /NOPERM .* — Give the Redis user the permissions that docs\/drivers\/redis\.md lists/s,
  },
  {
    name: 'NOPERM, for a key',
    provoke: rules('resetkeys', '~other:*'),
    meaning: 'configuration',
    text: /NOPERM .* — Give the Redis user the permissions that docs\/drivers\/redis\.md lists/s,
  },
  {
    name: 'NOPERM, inside of a script',
    provoke: rules('-time'),
    meaning: 'configuration',
    text: /(user executing the script can't run this command|ACL failure in script).* — Give the Redis user the permissions/s,
  },
  {
    name: 'WRONGPASS',
    fromStart: true,
    provoke: rules('resetpass', '>another'),
    meaning: 'configuration',
    text: /WRONGPASS .* — Check username and password/s,
  },
  {
    name: 'NOAUTH',
    fromStart: true,
    options: { username: undefined, password: undefined },
    provoke: async ({ admin }) => {
      await admin.config('SET', 'requirepass', 'pw');
      return () => admin.config('SET', 'requirepass', '');
    },
    meaning: 'configuration',
    text: /NOAUTH .* — Check username and password/s,
  },
  {
    name: 'WRONGTYPE',
    provoke: async ({ admin }) => {
      await admin.lpush(`{${name}}`, 'x');
      return () => admin.del(`{${name}}`);
    },
    meaning: 'configuration',
    text: /WRONGTYPE .* — Another application uses this key: change `namespace`/s,
  },
  {
    name: 'a timeout: the server executes the command later',
    options: { commandTimeout: 150 },
    provoke: async ({ admin }) => {
      const sleeping = admin.call('DEBUG', 'SLEEP', '0.6');
      return () => sleeping;
    },
    meaning: 'unknown',
    text: /Command timed out — The server or the network is slow/,
  },
  {
    name: 'a connection that goes silent',
    where: proxied,
    options: { commandTimeout: 150, socketTimeout: 1000 },
    provoke: async ({ proxy }) => {
      proxy!.blackhole();
      return () => proxy!.heal();
    },
    meaning: 'unknown',
    text: /Command timed out — The server or the network is slow/,
  },
  {
    name: 'a reset after the command was executed',
    where: proxied,
    provoke: async ({ proxy }) => {
      void proxy!.dropNextReply();
      return () => undefined;
    },
    meaning: 'unknown',
    text: /: the connection broke before the answer came/,
  },
];

beforeAll(async () => {
  const args = ['--cluster-enabled', 'yes', '--cluster-require-full-coverage', 'no'];
  // The bus of a node has the port above by 10,000.
  const start = () => RedisServer.start({ args, highest: 55_535 });
  cluster.servers = await Promise.all([start(), start()]);
  cluster.nodes = cluster.servers.map(({ url }) => new Redis(url));
  const [first, second] = cluster.nodes as [Redis, Redis];
  await addUser(first);
  cluster.slot = (await first.call('CLUSTER', 'KEYSLOT', `{${name}}`)) as number;
  cluster.ids = (await Promise.all(cluster.nodes.map((node) => node.call('CLUSTER', 'MYID')))) as string[];
  await first.call('CLUSTER', 'ADDSLOTSRANGE', 1, 16383);
  await second.call('CLUSTER', 'ADDSLOTS', 0);
  await first.call('CLUSTER', 'MEET', '127.0.0.1', cluster.servers[1]!.port);
  const isReady = async (node: Redis): Promise<boolean> =>
    ((await node.call('CLUSTER', 'SLOTS')) as unknown[]).length === 2 &&
    ((await node.call('CLUSTER', 'INFO')) as string).includes('cluster_state:ok');
  await until(async () => (await isReady(first)) && (await isReady(second)), 20_000, 'a cluster of two nodes');
});

afterAll(async () => {
  for (const node of cluster.nodes) node.disconnect();
  for (const server of cluster.servers) await server.stop();
});

const once = request({ limit: { attempts: 1, retryDelay: 1 } });

async function failure(engine: RealEngine): Promise<Error> {
  return engine.manager.acquire(once).then(
    () => expect.fail('acquired'),
    (error: Error) => error,
  );
}

function newEngine({ port }: Scene, options: RedisOptions = {}): RealEngine {
  const login = 'password' in options ? '' : `app:${encodeURIComponent(PASSWORD)}@`;
  const engine = new RealEngine(new RedisDriver({ url: `redis://${login}127.0.0.1:${port}`, ...options }));
  redis.closing.push(() => engine.manager.close(0));
  return engine;
}

function tellsPassword(told: unknown): boolean {
  const everything = inspect(told, { depth: 10, showHidden: true });
  return [PASSWORD, encodeURIComponent(PASSWORD)].some((secret) => everything.includes(secret));
}

describe('the error table', () => {
  it.each(FAILURES)('$name', async ({ where, fromStart, options, provoke, meaning, text }) => {
    await addUser(redis.admin);
    const scene = (await where?.()) ?? { admin: redis.admin, port: redis.server.port };
    const engine = newEngine(scene, options);
    const use = async (): Promise<void> => (await engine.manager.acquire(request())).release();
    if (!fromStart) await use();
    const remove = await provoke(scene, engine);
    if (fromStart) await engine.manager.connect().catch(() => undefined);
    const error = await failure(engine);
    await remove();

    expect(error.message).toMatch(text);
    expect(error.message).toMatch(/^(?:Lock "k": could not be acquired within \d+ ms\..* )?Redis at 127\.0\.0\.1:\d+/);
    expect(error).toBeInstanceOf(meaning === 'configuration' ? LockConfigError : DriverUnavailableError);
    if (error instanceof DriverUnavailableError) expect(error.sent).toBe(meaning === 'unknown');

    // It mends itself when the cause is gone, and what failed has left nothing behind.
    await expect.poll(() => use().catch((reason: Error) => reason), { timeout: 10_000 }).toBeUndefined();
    const left = async (): Promise<string[]> =>
      (await scene.admin.keys(`{${name}}*`)).filter((key) => !key.includes(':x:'));
    await expect.poll(left).toEqual([]);

    for (const told of [error, engine.events, engine.warnings]) expect(tellsPassword(told)).toBe(false);
  });

  it('control: what ioredis says of a wrong password holds it', async () => {
    await rules('resetpass', '>another')({ admin: redis.admin, port: redis.server.port });
    const client = new Redis(redis.server.url, { username: 'app', password: PASSWORD, lazyConnect: true });
    redis.closing.push(() => client.disconnect());
    const error = new Promise((resolve) => client.once('error', resolve));
    await client.connect().catch(() => undefined);
    expect(tellsPassword(await error)).toBe(true);
  });

  it('NOSCRIPT: no failure, the script is sent', async () => {
    await addUser(redis.admin);
    const engine = newEngine({ admin: redis.admin, port: redis.server.port });
    const lock = await engine.manager.acquire(request());
    await redis.admin.script('FLUSH');
    await lock.release();
    expect(await redis.admin.keys('*')).toEqual(['{test:t:}']);
  });

  it('CROSSSLOT, which no lock meets: all its keys share a slot', async () => {
    const error = await cluster.nodes[0]!.eval('return 1', 2, '{one}', '{two}').then(
      () => expect.fail('answered'),
      (reason: unknown) => classify(reason, 'h:1'),
    );
    expect(error).toBeInstanceOf(LockConfigError);
    expect(error.message).toMatch(/CROSSSLOT .* — Use the `cluster` option/s);
  });

  it.each([
    ['', 'EVALSHA'],
    [', inside of a script', 'TIME'],
  ])('a command that the server does not have%s', async (_, command) => {
    const scene = await ownServer('--rename-command', command, '');
    const error = await failure(newEngine(scene));
    expect(error).toBeInstanceOf(LockConfigError);
    expect(error.message).toMatch(/unknown (\w+ )?command .* — Redis 6\.2 or later/is);
  });
});

describe('replies that this server does not send', () => {
  it.each([
    ["ERR Error running script (call to f_1): @user_script:1: @user_script: 1: -READONLY You can't write", 'retryable'],
    ["-OOM command not allowed when used memory > 'maxmemory'.", 'retryable'],
    ['ERR Error running script: -NOPERM this user has no permissions to run the command', 'configuration'],
    [
      '8C:error:0A00045C:SSL routines:ssl3_read_bytes:tlsv13 alert certificate required:../rec_layer_s3.c',
      'configuration',
    ],
    [
      "ERR Error running script (call to f_1): @user_script:1: @user_script: 1: The user executing the script can't run this command or subcommand",
      'configuration',
    ],
    [
      "ERR ACL failure in script: User app has no permissions to run the 'time' command script: 1a2b, on @user_script:1.",
      'configuration',
    ],
    ['ERR ACL failure in script: No permissions to access a key script: on @user_script:1.', 'configuration'],
    ['ERR Unknown Redis command called from script script: 1a2b, on @user_script:1.', 'configuration'],
    ['ERR Unknown command called from script script: on @user_script:1.', 'configuration'],
    ['something new', 'unknown'],
  ])('%s', (text, meaning) => {
    const error = classify(new Error(text), 'localhost:6379');
    const code = meaning === 'configuration' ? 'LOCK_CONFIG' : 'DRIVER_UNAVAILABLE';
    expect(error).toMatchObject(meaning === 'configuration' ? { code } : { code, sent: meaning === 'unknown' });
  });
});

describe('a URL with a password', () => {
  it.each([
    ['a slash in it', 'redis://app:top/secret@127.0.0.1:1', /`url` is malformed.*encodeURIComponent\(password\)/],
    ['a per cent sign in it', 'redis://app:top-secret%@127.0.0.1:1', /`url` is malformed/],
    ['a port that is none', 'redis://app:top-secret@127.0.0.1:abc', /`url` is malformed/],
    ['another protocol', 'http://app:top-secret@127.0.0.1:1', /`url` must look like/],
    ['an option', 'redis://app:top-secret@127.0.0.1:1?keyPrefix=app:', /cannot carry the option keyPrefix/],
    ['an option of ours', 'redis://:top-secret@h:1?enableOfflineQueue=true', /cannot carry the option enableOffline/],
  ])('and %s is refused without it', (_, url, message) => {
    const error = ((): unknown => {
      try {
        return new RedisDriver({ url });
      } catch (thrown) {
        return thrown;
      }
    })();
    expect(error).toBeInstanceOf(LockConfigError);
    expect((error as Error).message).toMatch(message);
    expect(inspect(error, { depth: 10, showHidden: true })).not.toMatch(/top.secret/);
  });
});
