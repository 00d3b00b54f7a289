// npm: redis-semaphore, its Mutex.
import { Redis } from 'ioredis';
import { Mutex } from 'redis-semaphore';

export const commands = ['set', 'evalsha', 'eval'];
export const renews = true;
export const contestants = [
  { name: 'redis-semaphore' },
  { name: 'redis-semaphore~5ms', settings: { retryInterval: 5 }, waiting: true },
];

export async function open({ port }, settings) {
  const client = new Redis({ port, lazyConnect: true });
  await client.connect();
  const acquire = async (key, ttl) => {
    let isLost = false;
    const onLockLost = () => (isLost = true);
    const mutex = new Mutex(client, key, { lockTimeout: ttl, onLockLost, ...settings });
    await mutex.acquire();
    return async () => {
      await mutex.release();
      return !isLost;
    };
  };
  return { acquire, hold: acquire, close: () => client.disconnect() };
}
