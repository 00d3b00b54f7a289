// npm: redlock (node-redlock), version 5, on one server.
import { Redis } from 'ioredis';
import Redlock from 'redlock';
import { untilReleased } from '../harness/until-released.mjs';

export const commands = ['evalsha', 'eval'];
export const renews = true;
export const contestants = [
  { name: 'redlock' },
  { name: 'redlock~5ms', settings: { retryCount: -1, retryDelay: 5, retryJitter: 2 }, waiting: true },
];

export async function open({ port }, settings) {
  const client = new Redis({ port, lazyConnect: true });
  await client.connect();
  const redlock = new Redlock([client], settings);
  return {
    async acquire(key, ttl) {
      const lock = await redlock.acquire([key], ttl);
      return () => lock.release();
    },
    /** Only `using` renews. */
    hold: (key, ttl) => untilReleased((routine) => redlock.using([key], ttl, routine)),
    close: () => client.disconnect(),
  };
}
