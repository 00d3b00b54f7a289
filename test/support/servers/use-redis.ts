import { Redis } from 'ioredis';
import { afterEach } from 'vitest';
import { RedisServer, type RedisServerOptions } from './redis-server.js';
import { useClosing, useStarted, useTopology } from './use-topology.js';

export interface SuiteRedis {
  readonly server: RedisServer;
  /** Has every permission; for looking at what is stored, and for provoking faults. */
  readonly admin: Redis;
  /** What a test opened, closed after it, the last first. */
  readonly closing: (() => unknown)[];
}

/** One real server for the tests of a file, emptied after each of them. */
export function useRedis(args: string[] = []): SuiteRedis {
  const server = useTopology(() => RedisServer.start({ args }));
  const admin = useStarted(
    () => new Redis(server.url),
    (client) => client.disconnect(),
  );
  // Vitest calls the hook that was set last first: `closing` is closed, then the store is emptied.
  afterEach(() => admin.flushall());
  return { server, admin, closing: useClosing() };
}

/** Independent servers, as a quorum has them. */
export function useRedisServers(count: number, options: RedisServerOptions = {}): readonly RedisServer[] {
  return useTopology(() => Promise.all(Array.from({ length: count }, () => RedisServer.start(options))));
}

/** A client for each server. A client connects again 20 ms after its server is there again. */
export function useAdmins(servers: readonly RedisServer[]): readonly Redis[] {
  return useStarted(
    () => servers.map(({ url }) => new Redis(url, { retryStrategy: () => 20 }).on('error', () => undefined)),
    (admins) => admins.forEach((admin) => admin.disconnect()),
  );
}
