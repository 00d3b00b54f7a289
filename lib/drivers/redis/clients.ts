import { Cluster, type ClusterNode, type ClusterOptions, Redis, type RedisOptions } from 'ioredis';
import type { OptionsCheck } from '../../core/options-check.js';
import { urlProblem } from './redis-url.js';

/** What we need of a user's ioredis client, version 5 or 6: a `Redis` or a `Cluster`. */
export interface RedisClient {
  duplicate(...overrides: never[]): unknown;
  readonly options: object;
  readonly isCluster: boolean;
}

/**
 * A URL, the user's ioredis client (which is duplicated, never used or closed), ioredis options (of one server, or with
 * `sentinels` and `name`), or the nodes of a cluster.
 */
export type RedisConnectionOptions =
  | ({ readonly url: string } & RedisOptions)
  | { readonly client: RedisClient }
  | RedisOptions
  | ({ readonly cluster: readonly ClusterNode[] } & ClusterOptions);

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

const defaults = { commandTimeout: 2000, socketTimeout: 3000, connectTimeout: 5000 } satisfies RedisOptions;

export const retryDelay = (times: number): number =>
  Math.min(1000, 50 * 2 ** Math.min(times, 5)) * (0.5 + Math.random() / 2);

/** ioredis never notices by itself that a master which went silent is none any more. */
const single = {
  ...enforced,
  enableOfflineQueue: false,
  retryStrategy: retryDelay,
  sentinelRetryStrategy: retryDelay,
  failoverDetector: true,
  // A master that became a replica: ask again who is master.
  reconnectOnError: isReadOnly,
} satisfies RedisOptions;

const singleDefaults = { ...defaults, sentinelCommandTimeout: 1000 } satisfies RedisOptions;

const clusterWide = {
  lazyConnect: true,
  enableOfflineQueue: false,
  scaleReads: 'master',
  clusterRetryStrategy: retryDelay,
  retryDelayOnFailover: 0,
} satisfies ClusterOptions;

/** Of a connection that is opened anew, to any server, when it ends. */
export const subscriberOfCluster = {
  ...enforced,
  enableOfflineQueue: false,
  retryStrategy: (): null => null,
  readOnly: false,
} satisfies RedisOptions;

/** A reply of a server that is no master, or none any more. */
export function isReadOnly(error: Error): boolean {
  return /\bREADONLY\b/.test(error.message);
}

/** What opens a client, not yet connected. */
export function opener(options: RedisConnectionOptions, check: OptionsCheck): () => Redis | Cluster {
  if ('client' in options) return ofClient(options.client, check);
  refuseKeyPrefix(options, check);
  if ('cluster' in options) return ofCluster(options, check);
  if ('url' in options) return ofUrl(options, check);
  if (options.sentinels) checkSentinel(options, check);
  return () => new Redis({ ...singleDefaults, ...options, ...single });
}

/** Rejects when the first attempt fails: without a sentinel that answers, ioredis goes on trying and settles nothing. */
export async function connect(client: Redis): Promise<void> {
  let watch!: (error: Error) => void;
  const failed = new Promise<never>((_, reject) => {
    watch = (error) => /sentinels are unreachable/.test(error.message) && reject(error);
    client.on('error', watch);
  });
  await Promise.race([client.connect(), failed]).finally(() => client.off('error', watch));
}

/** Milliseconds. */
export function timeouts(options: RedisConnectionOptions): { commandTimeout: number; socketTimeout: number } {
  const own = 'client' in options ? options.client?.options : options;
  const { commandTimeout, socketTimeout } = redisOptionsOf(own ?? {});
  return {
    commandTimeout: commandTimeout ?? defaults.commandTimeout,
    socketTimeout: socketTimeout ?? defaults.socketTimeout,
  };
}

function redisOptionsOf(options: RedisOptions | ClusterOptions): RedisOptions {
  return 'redisOptions' in options ? (options.redisOptions ?? {}) : options;
}

function ofClient(client: RedisClient, check: OptionsCheck): () => Redis | Cluster {
  if (typeof client?.duplicate !== 'function') {
    check.problem('`client` must be an ioredis `Redis` instance, or a `Cluster`.');
    return () => new Redis(single);
  }
  const { options } = client;
  refuseKeyPrefix(options, check);
  const duplicate = client.duplicate.bind(client) as (...overrides: unknown[]) => Redis | Cluster;
  if (client.isCluster) {
    const { redisOptions } = options as ClusterOptions;
    return () => duplicate([], { ...clusterWide, redisOptions: { ...defaults, ...redisOptions, ...enforced } });
  }
  if ((options as RedisOptions).sentinels) checkSentinel(options, check);
  return () => duplicate({ ...singleDefaults, ...timeouts({ client }), ...single });
}

function ofUrl(options: { readonly url: string } & RedisOptions, check: OptionsCheck): () => Redis {
  const { url, ...rest } = options;
  const problem = urlProblem(url);
  if (problem) check.problem(problem);
  if (rest.sentinels) check.problem('`url` and `sentinels` exclude each other: the sentinels tell the address.');
  return () => new Redis(url, { ...defaults, ...rest, ...single });
}

function ofCluster(
  options: { readonly cluster: readonly ClusterNode[] } & ClusterOptions,
  check: OptionsCheck,
): () => Cluster {
  const { cluster, redisOptions, ...rest } = options;
  if (!Array.isArray(cluster) || cluster.length === 0) {
    check.problem("`cluster` must be a list of nodes such as [{ host: 'localhost', port: 6379 }].");
  }
  for (const name of ['url', 'sentinels', 'host', 'port', 'path', 'username', 'password', 'tls', 'db']) {
    if (!(name in rest)) continue;
    const repair = /username|password|tls/.test(name) ? 'put it into `redisOptions`.' : 'leave it out.';
    check.problem(`\`${name}\` has no meaning beside \`cluster\`: ${repair}`);
  }
  if (redisOptions && 'db' in redisOptions && redisOptions.db) {
    check.problem('`redisOptions.db`: a cluster has database 0 only; leave it out.');
  }
  const nodes = [...(cluster ?? [])];
  return () =>
    new Cluster(nodes, { ...rest, ...clusterWide, redisOptions: { ...defaults, ...redisOptions, ...enforced } });
}

function checkSentinel(options: RedisOptions, check: OptionsCheck): void {
  const { sentinels, name, role } = options;
  if (!Array.isArray(sentinels) || sentinels.length === 0) {
    check.problem("`sentinels` must be a list such as [{ host: 'localhost', port: 26379 }].");
  }
  if (!name) check.problem('`name` is missing: how the sentinels call the group of servers, often "mymaster".');
  if (role && role !== 'master') check.problem('`role` must be left out: locks live on the master.');
}

function refuseKeyPrefix(options: object, check: OptionsCheck): void {
  const { keyPrefix, redisOptions } = options as { keyPrefix?: unknown; redisOptions?: { keyPrefix?: unknown } };
  if (keyPrefix || redisOptions?.keyPrefix) {
    check.problem('`keyPrefix` is not supported. Use the `namespace` option of forRoot().');
  }
}
