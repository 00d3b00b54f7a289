// What a decorated call costs where the store costs nothing.
import { openDecorated } from '../harness/application.mjs';
import { now } from '../harness/clock.mjs';

let orders;

export const tasks = {
  async start() {
    ({ orders } = await openDecorated());
  },

  /** Microseconds per call. */
  async call(_lock, { method, calls }) {
    const order = { id: 42 };
    const from = now();
    for (let call = 0; call < calls; call++) await orders[method](order);
    return ((now() - from) * 1000) / calls;
  },
};

async function run(bench) {
  const worker = await bench.start();
  const [any] = bench.contestants;
  await worker.run('start', any);
  await bench.rounds(
    async (contestant) => {
      const { method } = contestant.settings;
      return { perCall: await worker.run('call', contestant, { ...bench.settings, method }) };
    },
    { warmUp: true },
  );
}

export const workloads = [
  {
    url: import.meta.url,
    name: 'decorators',
    title: 'A call of a decorated method, with a driver that answers at once',
    columns: [{ metric: 'perCall', title: 'µs/call' }],
    ratios: [],
    contestants: [
      { name: 'undecorated', kind: 'floor', settings: { method: 'plain' } },
      { name: '@WithLock', kind: 'ours', settings: { method: 'withLock' } },
      { name: '@LeaderOnly', kind: 'ours', settings: { method: 'leaderOnly' } },
    ],
    settings: { rounds: 15, calls: 20_000 },
    smoke: { rounds: 2, calls: 2000 },
    run,
  },
];
