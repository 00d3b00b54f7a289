/**
 * The drivers for Redis: one server, Sentinel, Cluster, and Redlock over independent servers.
 *
 * @module nestjs-dist-lock/redis
 */
export type { RedisClient, RedisConnectionOptions } from './clients.js';
export type { FailoverOptions } from './connection-options.js';
export { RedisDriver, type RedisDriverOptions } from './redis.driver.js';
export { RedlockDriver, type RedlockDriverOptions } from '../redlock/redlock.driver.js';
export type { RedlockServer } from '../redlock/servers.js';
