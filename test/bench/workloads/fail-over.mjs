// W6: the holder is killed; when does the waiter have the lock, counted from the end of the TTL?
import { setTimeout as sleep } from 'node:timers/promises';
import { now } from '../harness/clock.mjs';

const TTL = 2000;
/** Between the starts of two contestants, so that they do not get in each other's way at the end. */
const GAP = 7;
/** The holders are killed before the first of them renews. */
const KILL_AFTER = 250;

export const tasks = {
  async take(lock, { key }) {
    await lock.acquire(key, TTL);
    return now();
  },

  /** When the lock was there, or null when the library gave up. */
  async wait(lock, { key }) {
    try {
      const release = await lock.acquire(key, TTL);
      const granted = now();
      await release();
      return granted;
    } catch {
      return null;
    }
  },
};

/** All contestants at once, each with its own key. */
async function run(bench) {
  for (let round = 0; round < bench.settings.rounds; round++) {
    const [holder, waiter] = await Promise.all([bench.start(), bench.start()]);
    for (const contestant of bench.contestants) {
      await bench.attempt(contestant, () => Promise.all([holder.open(contestant), waiter.open(contestant)]));
    }
    const waits = [];
    for (const contestant of bench.inOrder(round)) {
      const key = `${contestant.name}:${round}`;
      waits.push(
        bench.attempt(contestant, async () => {
          const taken = await holder.run('take', contestant, { key });
          const granted = await waiter.run('wait', contestant, { key });
          const late = granted === null ? null : granted - taken - TTL;
          bench.result.record(contestant, round, { late, failures: granted === null ? 1 : 0 });
        }),
      );
      await sleep(GAP);
    }
    await sleep(KILL_AFTER);
    await holder.stop();
    await Promise.all(waits);
    await waiter.stop();
    bench.progress(round);
  }
}

export const workloads = [
  {
    url: import.meta.url,
    name: 'W6',
    title: 'Crash of the holder, TTL of 2 s: how long after the end of the TTL the waiter has the lock',
    columns: [
      { metric: 'late', title: 'late by ms' },
      { metric: 'failures', title: 'gave up', total: true },
    ],
    ratios: [],
    waits: true,
    settings: { rounds: 8 },
    smoke: { rounds: 1 },
    run,
  },
];
