// npm: @redis-kit/lock, on one server.
import { Redlock } from '@redis-kit/lock';
import { createClient } from 'redis';

export const commands = ['eval', 'evalsha'];
export const renews = true;
export const contestants = [
  { name: 'redis-kit' },
  {
    name: 'redis-kit~5ms',
    settings: { maxRetryAttempts: 1_000_000, retryDelayMs: 3, retryJitterMs: 4 },
    waiting: true,
  },
];

export async function open({ port }, settings) {
  const client = await createClient({ url: `redis://127.0.0.1:${port}` }).connect();
  const redlock = new Redlock([client], settings);
  const acquire = async (key, ttl) => {
    const lock = await redlock.acquire(key, ttl);
    if (!lock) throw new Error('not acquired');
    return lock;
  };
  return {
    async acquire(key, ttl) {
      const lock = await acquire(key, ttl);
      return () => lock.release();
    },
    async hold(key, ttl) {
      const lock = await acquire(key, ttl);
      lock.startAutoExtension();
      return () => lock.release();
    },
    close: () => client.destroy(),
  };
}
