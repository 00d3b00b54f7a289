// npm: @sesamecare-oss/redlock, a maintained fork of redlock, on one server.
import { Redlock } from '@sesamecare-oss/redlock';
import { Redis } from 'ioredis';
import { untilReleased } from '../harness/until-released.mjs';

export const commands = ['evalsha', 'eval'];
export const renews = true;
export const contestants = [
  { name: 'sesamecare' },
  { name: 'sesamecare~5ms', settings: { retryCount: -1, retryDelay: 5, retryJitter: 2 }, waiting: true },
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
