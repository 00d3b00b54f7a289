// Not a lock: an empty PUBLISH from one process to another, the floor of every wake-up by push. Of two callers for one
// key the second waits for the message that the "release" of the first sends.
import { Redis } from 'ioredis';

export const kind = 'floor';
export const commands = ['publish'];
export const contestants = [{ name: 'publish-hop', only: ['W7'] }];

export async function open({ port }) {
  const publisher = new Redis({ port, lazyConnect: true });
  const subscriber = new Redis({ port, lazyConnect: true });
  await Promise.all([publisher.connect(), subscriber.connect()]);
  const wakeUps = new Map();
  subscriber.on('message', (channel) => wakeUps.get(channel)());
  return {
    async acquire(key) {
      if ((await publisher.set(key, '', 'NX')) === 'OK') return () => publisher.publish(key, '');
      const woken = new Promise((resolve) => {
        wakeUps.set(key, resolve);
      });
      await subscriber.subscribe(key);
      await woken;
      return async () => {};
    },
    close() {
      publisher.disconnect();
      subscriber.disconnect();
    },
  };
}
