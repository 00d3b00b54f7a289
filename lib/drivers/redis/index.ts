export type { RedisClient, RedisConnectionOptions } from './connection.js';
export { RedisDriver } from './redis.driver.js';
export { RedlockDriver, type RedlockDriverOptions } from '../redlock/redlock.driver.js';
export type { RedlockServer } from '../redlock/servers.js';
