import type { ClusterOptions, RedisOptions } from 'ioredis';

/** The kinds of values. Null and undefined mean that the option is absent. */
export type Kind =
  | 'boolean'
  | 'count'
  | 'database'
  | 'function'
  | 'list'
  | 'login'
  | 'milliseconds'
  | 'object'
  | 'port'
  | 'text'
  | 'tls'
  /** ioredis takes several kinds, and reports wrong ones itself. */
  | 'anything';

const ofCommander = { keyPrefix: 'text', showFriendlyErrorStack: 'boolean' } as const;

export const ofRedis = {
  ...ofCommander,
  autoPipeliningIgnoredCommands: 'list',
  autoResendUnfulfilledCommands: 'boolean',
  autoResubscribe: 'boolean',
  blockingTimeout: 'anything',
  blockingTimeoutGrace: 'milliseconds',
  clientInfoTag: 'text',
  commandQueue: 'boolean',
  commandTimeout: 'milliseconds',
  connectionName: 'text',
  connectTimeout: 'milliseconds',
  Connector: 'function',
  db: 'database',
  disableClientInfo: 'boolean',
  disconnectTimeout: 'milliseconds',
  enableAutoPipelining: 'boolean',
  enableOfflineQueue: 'boolean',
  enableReadyCheck: 'boolean',
  enableTLSForSentinelMode: 'boolean',
  failoverDetector: 'boolean',
  family: 'count',
  himportFieldsets: 'list',
  host: 'text',
  keepAlive: 'count',
  lazyConnect: 'boolean',
  maxLoadingRetryTime: 'milliseconds',
  maxRetriesPerRequest: 'count',
  monitor: 'boolean',
  name: 'text',
  natMap: 'anything',
  noDelay: 'boolean',
  offlineQueue: 'boolean',
  password: 'login',
  path: 'text',
  port: 'port',
  preferredSlaves: 'anything',
  protocol: 'count',
  readOnly: 'boolean',
  reconnectOnError: 'function',
  replyMapping: 'text',
  retryStrategy: 'function',
  role: 'text',
  scripts: 'object',
  sentinelCommandTimeout: 'milliseconds',
  sentinelMaxConnections: 'count',
  sentinelPassword: 'login',
  sentinelReconnectStrategy: 'function',
  sentinelRetryStrategy: 'function',
  sentinels: 'anything',
  sentinelTLS: 'tls',
  sentinelUsername: 'login',
  socketTimeout: 'milliseconds',
  stringNumbers: 'boolean',
  tls: 'tls',
  updateSentinels: 'boolean',
  username: 'login',
} as const satisfies Record<keyof RedisOptions, Kind>;

export const ofCluster = {
  ...ofCommander,
  autoPipeliningIgnoredCommands: 'list',
  clusterNodeRetryStrategy: 'function',
  clusterRetryStrategy: 'function',
  dnsLookup: 'function',
  enableAutoPipelining: 'boolean',
  enableOfflineQueue: 'boolean',
  enableReadyCheck: 'boolean',
  himportFieldsets: 'list',
  lazyConnect: 'boolean',
  maxRedirections: 'count',
  natMap: 'anything',
  redisOptions: 'object',
  resolveSrv: 'function',
  retryDelayOnClusterDown: 'count',
  retryDelayOnFailover: 'count',
  retryDelayOnMoved: 'count',
  retryDelayOnTryAgain: 'count',
  scaleReads: 'anything',
  scripts: 'object',
  shardedSubscribers: 'boolean',
  slotsRefreshInterval: 'anything',
  slotsRefreshTimeout: 'milliseconds',
  useSRVRecords: 'boolean',
} as const satisfies Record<keyof ClusterOptions, Kind>;

export const REDIS_OPTIONS: ReadonlySet<string> = new Set(Object.keys(ofRedis));
