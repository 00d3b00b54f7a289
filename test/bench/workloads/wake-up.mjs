// W7: two idle processes; from the call of release in one to the lock in the other.
import { setTimeout as sleep } from 'node:timers/promises';
import { now } from '../harness/clock.mjs';
import { percentile } from '../harness/statistics.mjs';

const TTL = 20_000;
const releases = new Map();

/** Off the beat of any timer. */
const pause = () => sleep(5 + Math.random() * 6);

export const tasks = {
  async take(lock, { keys }) {
    for (const key of keys) releases.set(key, await lock.acquire(key, TTL));
  },

  /** For each key when the lock was there, or null when the library gave up. */
  async wait(lock, { keys }) {
    const grants = [];
    for (const key of keys) {
      grants.push(granted(lock, key));
      await pause();
    }
    return Promise.all(grants);
  },

  async release(_lock, { keys }) {
    const times = [];
    for (const key of keys) {
      await pause();
      times.push(now());
      await releases
        .get(key)()
        .catch(() => {});
      releases.delete(key);
    }
    return times;
  },
};

async function granted(lock, key) {
  try {
    const release = await lock.acquire(key, TTL);
    const time = now();
    await release();
    return time;
  } catch {
    return null;
  }
}

async function run(bench) {
  const [holder, waiter] = await Promise.all([bench.start(), bench.start()]);
  for (const contestant of bench.contestants) {
    await bench.attempt(contestant, () => Promise.all([holder.open(contestant), waiter.open(contestant)]));
  }
  await bench.rounds(
    async (contestant, round) => {
      const { keys: count, idle } = bench.settings;
      const keys = Array.from({ length: count }, (_, index) => `${contestant.name}:${round}:${index}`);
      await holder.run('take', contestant, { keys });
      const waiting = waiter.run('wait', contestant, { keys });
      await sleep(count * 10 + (round < 0 ? 100 : idle));
      const released = await holder.run('release', contestant, { keys });
      const times = await waiting;
      const delays = times.flatMap((time, index) => (time === null ? [] : (time - released[index]) * 1000));
      return { p50: percentile(delays, 0.5), longest: percentile(delays, 1), failures: count - delays.length };
    },
    { warmUp: true },
  );
}

export const workloads = [
  {
    url: import.meta.url,
    name: 'W7',
    title: 'Wake-up of an idle waiter: from the call of release to the lock in another process',
    columns: [
      { metric: 'p50', title: 'p50 µs' },
      { metric: 'longest', title: 'longest µs' },
      { metric: 'failures', title: 'gave up', total: true },
    ],
    ratios: [
      { metric: 'p50', to: 'publish-hop' },
      { metric: 'p50', to: 'redis-semaphore' },
    ],
    waits: true,
    settings: { rounds: 5, keys: 8, idle: 1000 },
    smoke: { rounds: 1, keys: 2, idle: 50 },
    run,
  },
];
