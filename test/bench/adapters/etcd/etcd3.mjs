// npm: etcd3, its Lock for what is fast, its Election for what happens to a holder that is cut off: its Lock has no news.
import { Etcd3 } from 'etcd3';

export const commands = [];

export async function open({ hosts }) {
  const client = new Etcd3({ hosts: hosts.map((host) => `http://${host}`) });
  await client.get('x');
  return {
    async acquire(key, ttl) {
      const lock = client.lock(key).ttl(Math.ceil(ttl / 1000));
      await lock.acquire();
      return () => lock.release();
    },
    /** Resolves once it holds `key`, with a promise of the moment at which it learns that it no longer does. */
    async lead(key, ttl) {
      const campaign = client.election(key, Math.ceil(ttl / 1000)).campaign('x');
      const lost = new Promise((resolve) => campaign.on('error', () => resolve()));
      await new Promise((resolve) => campaign.on('elected', resolve));
      return { lost };
    },
    close: () => client.close(),
  };
}
