// W8: what is left in the heap after many locks with different keys.
import { setTimeout as sleep } from 'node:timers/promises';
import { now } from '../harness/clock.mjs';

const TTL = 10_000;
const CALLERS = 50;

export const tasks = {
  async churn(lock, { locks }) {
    await takeAll(lock, 'warm-up', Math.min(locks, 5000));
    const before = await heapUsed();
    const from = now();
    await takeAll(lock, 'w8', locks);
    const seconds = (now() - from) / 1000;
    return { bytes: ((await heapUsed()) - before) / locks, perSecond: locks / seconds };
  },
};

async function takeAll(lock, name, locks) {
  let next = 0;
  const caller = async () => {
    while (next < locks) {
      const release = await lock.acquire(`${name}:${next++}`, TTL);
      await release();
    }
  };
  await Promise.all(Array.from({ length: CALLERS }, caller));
}

/** After several collections with pauses, so that finalizers and timers had their turn. */
async function heapUsed() {
  for (let turn = 0; turn < 4; turn++) {
    globalThis.gc();
    await sleep(30);
  }
  return process.memoryUsage().heapUsed;
}

async function run(bench) {
  await bench.rounds(async (contestant) => {
    const worker = await bench.start(contestant);
    try {
      return await worker.run('churn', contestant, bench.settings);
    } finally {
      await worker.stop();
    }
  });
}

export const workloads = [
  {
    url: import.meta.url,
    name: 'W8',
    title: 'Heap growth over 100,000 acquisitions and releases of different keys',
    columns: [
      { metric: 'bytes', title: 'heap growth B/op' },
      { metric: 'perSecond', title: 'ops/s' },
    ],
    ratios: [],
    settings: { rounds: 2, locks: 100_000 },
    smoke: { rounds: 1, locks: 1000 },
    run,
  },
];
