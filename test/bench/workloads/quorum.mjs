// W9: free locks on five servers, with all of them up and with one that is stopped.
import { setTimeout as sleep } from 'node:timers/promises';
import { now } from '../harness/clock.mjs';
import { RedisServer } from '../harness/redis-server.mjs';
import { percentile } from '../harness/statistics.mjs';

const TTL = 10_000;
/** Until the clients are connected again, and a server that went on has done what it was sent. */
const SETTLE = 300;

export const tasks = {
  /** One after the other, the same key. */
  async sequential(lock, { ms }) {
    const took = [];
    const cpu = process.cpuUsage();
    const from = now();
    for (let before = from; before < from + ms;) {
      const release = await lock.acquire('w9', TTL);
      await release();
      const after = now();
      took.push((after - before) * 1000);
      before = after;
    }
    const { user, system } = process.cpuUsage(cpu);
    return {
      p50: percentile(took, 0.5),
      p99: percentile(took, 0.99),
      perSecond: took.length / ((now() - from) / 1000),
      cpu: (user + system) / took.length,
    };
  },
};

async function run(bench) {
  const servers = await Promise.all(Array.from({ length: bench.settings.servers }, () => RedisServer.start()));
  try {
    const ports = servers.map(({ port }) => port);
    const workers = new Map();
    for (const contestant of bench.contestants) {
      await bench.attempt(contestant, async () => {
        const settings = { ...contestant.settings, ports };
        workers.set(contestant, await bench.start({ ...contestant, settings }));
      });
    }
    for (const [contestant, worker] of workers) {
      await worker.run('sequential', contestant, { ms: bench.settings.warmUp });
    }
    await bench.rounds(
      async (contestant, round) => {
        const measure = () => workers.get(contestant).run('sequential', contestant, bench.settings);
        const up = await measure();
        // It asks the same three servers always.
        if (contestant.kind === 'floor') return up;
        const server = servers[Math.max(0, round) % servers.length];
        await server.pause();
        try {
          const { p50, p99 } = await measure();
          return { ...up, stoppedP50: p50, stoppedP99: p99, slower: p50 / up.p50 };
        } finally {
          server.resume();
          await sleep(SETTLE);
        }
      },
      { warmUp: true },
    );
  } finally {
    await Promise.all(servers.map((server) => server.stop()));
  }
}

export const workloads = [
  {
    url: import.meta.url,
    name: 'W9',
    title: 'One caller, one free lock on five servers, one of which is then stopped',
    takesPart: () => false,
    columns: [
      { metric: 'p50', title: 'p50 µs' },
      { metric: 'p99', title: 'p99 µs' },
      { metric: 'perSecond', title: 'ops/s' },
      { metric: 'cpu', title: 'Node CPU µs/op' },
      { metric: 'stoppedP50', title: 'one stopped: p50 µs' },
      { metric: 'stoppedP99', title: 'p99 µs' },
      { metric: 'slower', title: 'p50 × all up' },
    ],
    ratios: [
      { metric: 'p50', to: 'redlock~quorum' },
      { metric: 'stoppedP50', to: 'redlock~quorum' },
    ],
    settings: { rounds: 20, ms: 200, servers: 5, warmUp: 5000 },
    smoke: { rounds: 2, ms: 60, warmUp: 60 },
    run,
  },
];
