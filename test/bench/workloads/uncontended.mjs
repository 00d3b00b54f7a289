// W1 and W2: locks that nobody else wants.
import { now } from '../harness/clock.mjs';
import { percentile } from '../harness/statistics.mjs';

const TTL = 10_000;

export const tasks = {
  /** One after the other, the same key. */
  async sequential(lock, { ms }) {
    return measure(ms, (until, took) => loop(lock, 'w1', until, took));
  },

  /** Many callers at once, each with its own key. */
  async parallel(lock, { ms, callers }) {
    return measure(ms, (until, took) =>
      Promise.all(Array.from({ length: callers }, (_, caller) => loop(lock, `w2:${caller}`, until, took))),
    );
  },
};

async function loop(lock, key, until, took) {
  for (let before = now(); before < until;) {
    const release = await lock.acquire(key, TTL);
    await release();
    const after = now();
    took.push((after - before) * 1000);
    before = after;
  }
}

async function measure(ms, work) {
  const took = [];
  const cpu = process.cpuUsage();
  const from = now();
  await work(from + ms, took);
  const seconds = (now() - from) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  return {
    operations: took.length,
    perSecond: took.length / seconds,
    p50: percentile(took, 0.5),
    p99: percentile(took, 0.99),
    cpu: (user + system) / took.length,
  };
}

/** Each contestant in a worker of its own. */
async function run(task, bench) {
  const workers = new Map();
  for (const contestant of bench.contestants) {
    await bench.attempt(contestant, async () => workers.set(contestant, await bench.start(contestant)));
  }
  await bench.rounds(
    async (contestant) => {
      const { result, sent } = await bench.server.counting(contestant.commands, () =>
        workers.get(contestant).run(task, contestant, bench.settings),
      );
      return { ...result, commands: sent / result.operations };
    },
    { warmUp: true },
  );
}

const common = {
  url: import.meta.url,
  columns: [
    { metric: 'p50', title: 'p50 µs' },
    { metric: 'p99', title: 'p99 µs' },
    { metric: 'perSecond', title: 'ops/s' },
    { metric: 'cpu', title: 'Node CPU µs/op' },
    { metric: 'commands', title: 'commands/op' },
  ],
};

export const workloads = [
  {
    ...common,
    name: 'W1',
    title: 'One caller, one free lock: acquire and release, one after the other',
    ratios: [
      { metric: 'p50', to: 'raw' },
      { metric: 'p50', to: 'redlock' },
    ],
    pinned: true,
    settings: { rounds: 12, ms: 500 },
    smoke: { rounds: 2, ms: 30 },
    run: (bench) => run('sequential', bench),
  },
  {
    ...common,
    name: 'W2',
    title: '64 callers at once, each with its own free lock',
    ratios: [
      { metric: 'cpu', to: 'raw' },
      { metric: 'perSecond', to: 'redlock' },
    ],
    settings: { rounds: 10, ms: 500, callers: 64 },
    smoke: { rounds: 2, ms: 30 },
    run: (bench) => run('parallel', bench),
  },
];
