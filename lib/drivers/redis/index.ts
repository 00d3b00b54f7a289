export type { RedisClient, RedisConnectionOptions } from './clients.js';
export type { FailoverOptions } from './connection-options.js';
export { RedisDriver, type RedisDriverOptions } from './redis.driver.js';
