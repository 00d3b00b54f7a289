// W5: what it costs to keep many locks.
import { setTimeout as sleep } from 'node:timers/promises';
import { now } from '../harness/clock.mjs';

/** Milliseconds between two steps of taking locks. */
const STEP = 50;

let releases = [];

export const tasks = {
  /** A few at a time, evenly over `spread` milliseconds, as a real application takes them. */
  async hold(lock, { locks, spread, ttl }) {
    const perStep = Math.ceil((locks * STEP) / spread);
    for (let step = 0, from = now(); releases.length < locks; step++) {
      await sleep(Math.max(0, from + step * STEP - now()));
      const names = Array.from({ length: perStep }, (_, index) => `w5:${step}:${index}`);
      releases.push(...(await Promise.all(names.map((name) => lock.hold(name, ttl)))));
    }
  },

  async keep(_lock, { ms }) {
    const cpu = process.cpuUsage();
    const from = now();
    await sleep(ms);
    const took = now() - from;
    const { user, system } = process.cpuUsage(cpu);
    return { took, cpu: (user + system) / took / 10 };
  },

  /** How many were lost on the way. */
  async release() {
    const kept = await Promise.all(releases.map((release) => release().catch(() => false)));
    releases = [];
    return kept.filter((was) => was === false).length;
  },
};

async function run(bench) {
  await bench.rounds(async (contestant) => {
    const worker = await bench.start(contestant);
    try {
      await worker.run('hold', contestant, bench.settings);
      const { result, sent } = await bench.server.counting(contestant.commands, () =>
        worker.run('keep', contestant, bench.settings),
      );
      const lost = await worker.run('release', contestant);
      return { commands: sent / (result.took / 1000), cpu: result.cpu, lost };
    } finally {
      await worker.stop();
    }
  });
}

export const workloads = [
  {
    url: import.meta.url,
    name: 'W5',
    title: '1,000 held locks with a TTL of 3 s: renewal',
    columns: [
      { metric: 'commands', title: 'commands/s' },
      { metric: 'cpu', title: 'Node CPU %' },
      { metric: 'lost', title: 'lost locks', total: true },
    ],
    ratios: [
      { metric: 'commands', to: 'redlock' },
      { metric: 'cpu', to: 'redlock' },
    ],
    renews: true,
    settings: { rounds: 3, ms: 5000, locks: 1000, ttl: 3000, spread: 2500 },
    smoke: { rounds: 1, ms: 1000, locks: 100, ttl: 1200, spread: 200 },
    run,
  },
];
