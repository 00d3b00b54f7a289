// This package, through its public API: a Nest application with DistLockModule and RedisDriver, and its LockService;
// `~quorum` with RedlockDriver.
import { openLocks, openQuorumLocks } from '../harness/application.mjs';

export const kind = 'ours';
/** No script can call these, so they are what the driver sends itself. */
export const commands = ['eval', 'evalsha', 'fcall', 'ping', 'psubscribe', 'ssubscribe', 'subscribe', 'unsubscribe'];
export const renews = true;
export const contestants = [
  { name: 'dist-lock' },
  // A Nest application for each caller, so that nothing is handed on inside a process: local batches of size 1.
  { name: 'dist-lock~apart', settings: { applications: 8 }, only: ['W4b'] },
  { name: 'dist-lock~quorum', only: ['W9'] },
];

export async function open({ port }, { applications = 0, ports } = {}) {
  const opened = await Promise.all(
    Array.from({ length: applications || 1 }, () => (ports ? openQuorumLocks(ports) : openLocks(port))),
  );
  const idle = opened.map(({ locks }) => locks);
  const service = () => (applications ? idle.pop() : idle[0]);
  const done = (locks) => applications && idle.push(locks);
  return {
    async acquire(key, ttl) {
      const locks = service();
      const lock = await locks.acquire(key, { ttl });
      return async () => {
        await lock.release();
        done(locks);
      };
    },
    async hold(key, ttl) {
      const lock = await service().acquire(key, { ttl });
      return async () => {
        const wasHeld = lock.held;
        await lock.release();
        return wasHeld;
      };
    },
    close: () => Promise.all(opened.map(({ close }) => close())),
  };
}
