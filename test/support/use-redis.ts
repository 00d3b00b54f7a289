import { Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll } from 'vitest';
import { RedisServer } from './redis-server.js';

export interface SuiteRedis {
  readonly server: RedisServer;
  /** Has every permission; for looking at what is stored, and for provoking faults. */
  readonly admin: Redis;
  /** What a test opened, closed after it, the last first. */
  readonly closing: (() => unknown)[];
}

/** One real server for the tests of a file, emptied after each of them. */
export function useRedis(args: string[] = []): SuiteRedis {
  let server: RedisServer;
  let admin: Redis;
  const closing: (() => unknown)[] = [];
  beforeAll(async () => {
    server = await RedisServer.start({ args });
    admin = new Redis(server.url);
  });
  afterAll(async () => {
    admin.disconnect();
    await server.stop();
  });
  afterEach(async () => {
    for (const close of closing.splice(0).toReversed()) await close();
    await admin.flushall();
  });
  return {
    get server() {
      return server;
    },
    get admin() {
      return admin;
    },
    closing,
  };
}
