// The floor: what a lock costs at least, written by hand with ioredis. SET NX PX, compare-and-delete, polling.
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
];

export async function open({ port }, { poll }) {
  const client = new Redis({ port, lazyConnect: true });
  await client.connect();
  await client.script('LOAD', COMPARE_AND_DELETE);
  let count = 0;
  return {
    async acquire(key, ttl) {
      const holder = `${process.pid}.${++count}`;
      while ((await client.set(key, holder, 'PX', ttl, 'NX')) !== 'OK') await sleep(poll);
      return () => client.evalsha(SHA, 1, key, holder);
    },
    close: () => client.disconnect(),
  };
}
