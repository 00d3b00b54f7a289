/**
 * The drivers for Redis: one server, Sentinel, Cluster, and Redlock over independent servers.
 *
 * @module nestjs-dist-lock/redis
 */
export type { RedisClient, RedisConnectionOptions } from './connection/clients.js';
export type { FailoverOptions } from './connection/connection-options.js';
export { RedisDriver, type RedisDriverOptions } from './redis.driver.js';
export type { RedlockDriverOptions } from '../redlock/options.js';
export { RedlockDriver } from '../redlock/redlock.driver.js';
export type { RedlockServer } from '../redlock/server-set.js';
