export type { RedisClient, RedisConnectionOptions } from './clients.js';
export type { FailoverOptions } from './connection-options.js';
export { RedisDriver, type RedisDriverOptions } from './redis.driver.js';
export { RedlockDriver, type RedlockDriverOptions } from '../redlock/redlock.driver.js';
export type { RedlockServer } from '../redlock/servers.js';
