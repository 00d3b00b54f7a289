import { Cluster, type ClusterNode, type ClusterOptions, Redis, type RedisOptions } from 'ioredis';
import type { WithAccess } from './access.js';
import { directConnector } from './connectors.js';
import { sentinelConnector } from './sentinel-connector.js';
import type { Sockets } from './sockets.js';

/** The part of a user's ioredis client that the drivers use: a `Redis` or a `Cluster`, of version 5 or 6. */
export interface RedisClient {
  /** Makes a client with the same options. */
  duplicate(...overrides: never[]): unknown;
  /** The options that the client was created with. */
  readonly options: object;
  /** True for a `Cluster`. */
  readonly isCluster: boolean;
}

/** Options of ioredis. User names, passwords and TLS options may be functions, which are called for each connection. */
export type RedisServerOptions = WithAccess<RedisOptions>;

export type RedisClusterOptions = Omit<ClusterOptions, 'redisOptions'> & {
  readonly redisOptions?: WithAccess<NonNullable<ClusterOptions['redisOptions']>> | undefined;
};

/**
 * The connection to Redis, in one of four ways: a URL, an ioredis client, ioredis options, or the nodes of a cluster.
 * `docs/drivers/redis.md` lists the options, and the defaults that differ from those of ioredis.
 */
export type RedisConnectionOptions =
  | ({
      /** The URL of one server: `redis://user:password@host:6379/0`, or `rediss://` for TLS. */
      readonly url: string;
    } & RedisServerOptions)
  | {
      /** A client of ioredis. It is duplicated. The client itself is never used and never closed. */
      readonly client: RedisClient;
    }
  /** Options of ioredis for one server, or with `sentinels` and `name` for the master that Sentinel names. */
  | RedisServerOptions
  | ({
      /** Some nodes of a cluster; the others are found by these. */
      readonly cluster: readonly ClusterNode[];
    } & RedisClusterOptions);

/**
 * A command is sent at most once and never queued while the connection is down: a lock command that arrives late, or
 * twice, is worse than one that fails.
 */
const enforced = {
  lazyConnect: true,
  // Numbers of the scripts come as numbers, and a command leaves behind the one that was sent before it.
  stringNumbers: false,
  enableAutoPipelining: false,
  autoResendUnfulfilledCommands: false,
  maxRetriesPerRequest: 0,
  autoResubscribe: false,
} satisfies RedisOptions;

const defaults = {
  commandTimeout: 2000,
  socketTimeout: 3000,
  connectTimeout: 5000,
  // A server that loads its data is asked again after the time that it estimates, or this one.
  maxLoadingRetryTime: 500,
} satisfies RedisOptions;

/** A connection that its owner opens again when it ends. */
const single = {
  ...enforced,
  enableOfflineQueue: false,
  retryStrategy: () => null,
  // ioredis would disconnect once for each such reply, and leave listeners behind: see SingleServer.hangUp.
  reconnectOnError: null,
} satisfies RedisOptions;

const singleDefaults = { ...defaults, sentinelCommandTimeout: 1000 } satisfies RedisOptions;

const clusterWide = {
  lazyConnect: true,
  enableOfflineQueue: false,
  scaleReads: 'master',
  clusterRetryStrategy: () => null,
  retryDelayOnFailover: 0,
} satisfies ClusterOptions;

/** A connection that its owner opens again, perhaps to another node, when it ends. */
export const subscriberOfCluster = {
  ...enforced,
  enableOfflineQueue: false,
  retryStrategy: (): null => null,
  readOnly: false,
} satisfies RedisOptions;

/** An error of a server that is no master, or no longer. */
export function isReadOnly(error: Error): boolean {
  return /\bREADONLY\b/.test(error.message);
}

/**
 * Creates a client, not yet connected. `masterOnly`: it does not become ready at a server that reports to be a replica.
 */
export type Opener = (masterOnly: boolean) => Redis | Cluster;

/** @param options checked  @param sockets those of all connections of the driver */
export function opener(options: RedisConnectionOptions, sockets: Sockets): Opener {
  if ('client' in options) return ofClient(options.client, sockets);
  const { placeholders } = sockets.access;
  if ('cluster' in options) return ofCluster(options, sockets);
  if ('url' in options) {
    const { url, ...rest } = options;
    const own = { ...defaults, ...(rest as RedisOptions), ...placeholders, ...single };
    return (masterOnly) => new Redis(url, { Connector: directConnector(sockets, masterOnly), ...own });
  }
  const own = { ...singleDefaults, ...(options as RedisOptions), ...placeholders, ...single };
  if (!options.sentinels) return (masterOnly) => new Redis({ Connector: directConnector(sockets, masterOnly), ...own });
  const enableTLSForSentinelMode = Boolean(own.tls);
  return () => new Redis({ Connector: sentinelConnector(sockets), ...own, enableTLSForSentinelMode });
}

/** Settles with the first attempt. */
export async function connect(client: Redis): Promise<void> {
  await client.connect();
}

/** Milliseconds. */
export interface Timeouts {
  readonly commandTimeout: number;
  readonly socketTimeout: number;
  readonly connectTimeout: number;
}

export function timeouts(options: RedisConnectionOptions): Timeouts {
  const own = serverOptions(options);
  const ofOption = (name: keyof Timeouts): number => own[name] ?? defaults[name];
  return {
    commandTimeout: ofOption('commandTimeout'),
    socketTimeout: ofOption('socketTimeout'),
    // A client of the user has the longer default of ioredis.
    connectTimeout: ofOption('connectTimeout'),
  };
}

/** The options that concern each server. */
export function serverOptions(options: RedisConnectionOptions): RedisServerOptions {
  const own = 'client' in options ? options.client.options : options;
  return 'cluster' in own || 'redisOptions' in own ? ((own as RedisClusterOptions).redisOptions ?? {}) : own;
}

function ofClient(client: RedisClient, sockets: Sockets): Opener {
  const { options } = client;
  const duplicate = client.duplicate.bind(client) as (...overrides: unknown[]) => Redis | Cluster;
  if (client.isCluster) {
    const { redisOptions } = options as ClusterOptions;
    const Connector = redisOptions?.Connector ?? directConnector(sockets, false);
    const ofServers = { ...defaults, ...redisOptions, ...enforced, Connector };
    return () => duplicate([], { ...clusterWide, redisOptions: ofServers });
  }
  const own = { ...singleDefaults, ...timeouts({ client }), ...single };
  const { Connector, sentinels } = options as RedisOptions;
  if (Connector) return () => duplicate({ ...own, Connector });
  if (sentinels) return () => duplicate({ ...own, Connector: sentinelConnector(sockets) });
  return (masterOnly) => duplicate({ ...own, Connector: directConnector(sockets, masterOnly) });
}

function ofCluster(
  options: { readonly cluster: readonly ClusterNode[] } & RedisClusterOptions,
  sockets: Sockets,
): Opener {
  const { cluster, redisOptions, ...rest } = options;
  const ofServers = {
    ...defaults,
    Connector: directConnector(sockets, false),
    ...(redisOptions as RedisOptions | undefined),
    ...sockets.access.placeholders,
    ...enforced,
  };
  return () => new Cluster([...cluster], { ...rest, ...clusterWide, redisOptions: ofServers });
}
