export type { RedisClient, RedisConnectionOptions } from './connection.js';
export { RedisDriver } from './redis.driver.js';
