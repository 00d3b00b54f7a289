// npm: redlock (node-redlock), version 5, on one server; `~quorum` on several.
import { Redis } from 'ioredis';
import Redlock from 'redlock';
import { untilReleased } from '../harness/until-released.mjs';

export const commands = ['evalsha', 'eval'];
export const renews = true;
export const contestants = [
  { name: 'redlock' },
  { name: 'redlock~5ms', settings: { retryCount: -1, retryDelay: 5, retryJitter: 2 }, waiting: true },
  { name: 'redlock~quorum', only: ['W9'] },
];

export async function open({ port }, { ports = [port], ...settings }) {
  const clients = ports.map((each) => new Redis({ port: each, lazyConnect: true }));
  await Promise.all(clients.map((client) => client.connect()));
  const redlock = new Redlock(clients, settings);
  return {
    async acquire(key, ttl) {
      const lock = await redlock.acquire([key], ttl);
      return () => lock.release();
    },
    /** Only `using` renews. */
    hold: (key, ttl) => untilReleased((routine) => redlock.using([key], ttl, routine)),
    close: () => clients.forEach((client) => client.disconnect()),
  };
}
