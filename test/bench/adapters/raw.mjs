// The floor: what a lock costs at least, written by hand with ioredis. SET NX PX, compare-and-delete, polling; `~quorum`
// on a majority of several servers, without anything for the case that one of them says no.
import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';

const COMPARE_AND_DELETE = `if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end return 0`;
const SHA = createHash('sha1').update(COMPARE_AND_DELETE).digest('hex');

export const kind = 'floor';
export const commands = ['set', 'evalsha'];
export const contestants = [
  { name: 'raw', settings: { poll: 5 } },
  { name: 'raw~1ms', settings: { poll: 1 }, waiting: true },
  { name: 'raw~quorum', only: ['W9'] },
];

export async function open({ port }, { poll, ports = [port] }) {
  const majority = ports.slice(0, Math.floor(ports.length / 2) + 1);
  const clients = majority.map((each) => new Redis({ port: each, lazyConnect: true }));
  for (const client of clients) {
    await client.connect();
    await client.script('LOAD', COMPARE_AND_DELETE);
  }
  let count = 0;
  return {
    async acquire(key, ttl) {
      const holder = `${process.pid}.${++count}`;
      const take = (client) => client.set(key, holder, 'PX', ttl, 'NX');
      while ((await Promise.all(clients.map(take))).some((reply) => reply !== 'OK')) await sleep(poll);
      // Those that were never asked and one that answers make a majority that is free.
      return () => Promise.race(clients.map((client) => client.evalsha(SHA, 1, key, holder)));
    },
    close: () => clients.forEach((client) => client.disconnect()),
  };
}
