// npm: @verrou/core, its Redis store.
import { LockFactory } from '@verrou/core';
import { redisStore } from '@verrou/core/drivers/redis';
import { Redis } from 'ioredis';

export const commands = ['set', 'eval'];
export const contestants = [
  { name: 'verrou' },
  { name: 'verrou~5ms', settings: { retry: { delay: 5 } }, waiting: true },
];

export async function open({ port }, settings) {
  const client = new Redis({ port, lazyConnect: true });
  await client.connect();
  const factory = new LockFactory(redisStore({ connection: client }).factory(), settings);
  return {
    async acquire(key, ttl) {
      const lock = factory.createLock(key, ttl);
      if (!(await lock.acquire())) throw new Error('not acquired');
      return () => lock.release();
    },
    close: () => client.disconnect(),
  };
}
