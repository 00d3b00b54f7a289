// This package, through its public API: a Nest application with DistLockModule and EtcdDriver, and its LockService.
import { once } from 'node:events';
import { openEtcdLocks } from '../../harness/application.mjs';

export const commands = [];

export async function open({ hosts }) {
  const { locks, close } = await openEtcdLocks(hosts);
  return {
    async acquire(key, ttl) {
      const lock = await locks.acquire(key, { ttl });
      return () => lock.release();
    },
    /** Resolves once it holds `key`, with a promise of the moment at which it learns that it no longer does. */
    async lead(key, ttl) {
      const lock = await locks.acquire(key, { ttl, wait: 'forever' });
      return { lost: once(lock.signal, 'abort') };
    },
    close,
  };
}
