/** @throws Error naming REDIS_SERVER_BIN where that is set and is not an executable file */
export function findRedisServer(): string | undefined;

/** @throws Error naming ETCD_BIN where that is set and is not an executable file */
export function findEtcdServer(): string | undefined;
