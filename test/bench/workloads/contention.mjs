// W3 and W4: everybody wants the same lock.
import { setTimeout as sleep } from 'node:timers/promises';
import { now } from '../harness/clock.mjs';
import { loadContestants } from '../harness/contestants.mjs';
import { readTimeline } from '../harness/timeline.mjs';

const TTL = 10_000;

/** How long after the end the last waiters have the lock at the latest, where there is one per process. */
const GRACE = 10_000;

export const tasks = {
  /** Callers that take the lock and release it, at once or after `hold` milliseconds, again and again. */
  async contend(lock, { key, callers, from, until, patience, hold = 0 }) {
    const holds = [];
    const waitingSince = Array.from({ length: callers });
    let failures = 0;
    await sleep(from - now());
    const cpu = process.cpuUsage();
    const work = async (_, caller) => {
      while (now() < until) {
        const asked = now();
        waitingSince[caller] = asked;
        try {
          const release = await lock.acquire(key, TTL);
          const granted = now();
          if (hold > 0) await sleep(hold);
          holds.push(asked, granted, now(), caller);
          await release();
        } catch {
          failures++;
          await sleep(1);
        }
      }
      waitingSince[caller] = undefined;
    };
    await Promise.race([Promise.all(Array.from({ length: callers }, work)), sleep(until + patience - now())]);
    const { user, system } = process.cpuUsage(cpu);
    const stillWaiting = waitingSince.filter((since) => since !== undefined).map((since) => now() - since);
    return { holds: Float64Array.from(holds), stillWaiting, failures, cpu: user + system };
  },
};

/** All contestants in the same processes, which are many. */
async function inSharedProcesses(bench) {
  const control = (await loadContestants()).find(({ kind }) => kind === 'control');
  const workers = await start(bench, control);
  const { overlaps } = await measure(bench, workers, control, { key: 'control', ms: 100, patience: GRACE, hold: 1 });
  const doubt = overlaps > 0 ? '' : ': DO NOT TRUST IT';
  bench.note(`Without any lock the check for overlapping holds finds ${overlaps} in 100 ms${doubt}.`);

  for (const contestant of bench.contestants) {
    await bench.attempt(contestant, async () => {
      await Promise.all(workers.map((worker) => worker.open(contestant)));
      await warmUp(bench, workers, contestant);
    });
  }
  const { ms } = bench.settings;
  await bench.rounds((contestant, round) =>
    measure(bench, workers, contestant, { key: `${contestant.name}:${round}`, ms, patience: GRACE }),
  );
}

/** With 100 callers some libraries need minutes until the last has had the lock: who waits at the end goes with it. */
async function inFreshProcesses(bench) {
  const { ms } = bench.settings;
  bench.note(`Who still waits ${ms} ms after the end of a round counts as having waited until then.`);
  await bench.rounds(async (contestant, round) => {
    const workers = await start(bench, contestant);
    try {
      await warmUp(bench, workers, contestant);
      return await measure(bench, workers, contestant, { key: `${contestant.name}:${round}`, ms, patience: ms });
    } finally {
      await Promise.all(workers.map((worker) => worker.stop()));
    }
  });
}

function start(bench, contestant) {
  return Promise.all(Array.from({ length: bench.settings.processes }, () => bench.start(contestant)));
}

/** A fresh process is slow, for seconds where it gets the lock a few hundred times a second: not what services are. */
async function warmUp(bench, workers, contestant) {
  const { warmUp: ms } = bench.settings;
  await measure(bench, workers, contestant, { key: `${contestant.name}:warm-up`, ms, patience: ms });
}

async function measure(bench, workers, contestant, { ms, ...how }) {
  const { callers } = bench.settings;
  const from = now() + 50;
  const until = from + ms;
  const args = { ...how, callers, from, until };
  const { result, sent } = await bench.server.counting(contestant.commands, () =>
    Promise.all(workers.map((worker) => worker.run('contend', contestant, args))),
  );
  const { longestWait, ...timeline } = readTimeline(
    result.map(({ holds }) => holds),
    { from, until, callers },
  );
  const sum = (field) => result.reduce((total, row) => total + row[field], 0);
  return {
    ...timeline,
    longestWait: Math.max(longestWait, ...result.flatMap(({ stillWaiting }) => stillWaiting)),
    commandsPerHandOff: sent / timeline.handOffs,
    commandsPerAcquisition: sent / timeline.acquisitions,
    cpu: sum('cpu') / timeline.acquisitions,
    failures: sum('failures'),
  };
}

const acquisitionColumns = [
  { metric: 'acquisitionsPerSecond', title: 'acquisitions/s' },
  { metric: 'longestWait', title: 'longest wait ms' },
  { metric: 'cpu', title: 'Node CPU µs/acquisition' },
];
const safetyColumns = [
  { metric: 'failures', title: 'failures', total: true },
  { metric: 'overlaps', title: 'overlapping holds', total: true },
];

export const workloads = [
  {
    url: import.meta.url,
    name: 'W3',
    title: '8 processes, one lock: hand-offs from one process to another',
    columns: [
      { metric: 'handOffsPerSecond', title: 'hand-offs/s' },
      { metric: 'commandsPerHandOff', title: 'commands/hand-off' },
      { metric: 'processFairness', title: 'Jain index' },
      ...acquisitionColumns,
      ...safetyColumns,
    ],
    ratios: [{ metric: 'handOffsPerSecond', to: 'redlock' }],
    waits: true,
    settings: { rounds: 5, ms: 1500, processes: 8, callers: 1, warmUp: 8000 },
    smoke: { rounds: 1, ms: 150, processes: 3, warmUp: 100 },
    run: inSharedProcesses,
  },
  {
    url: import.meta.url,
    name: 'W4',
    title: '100 callers in one process, one lock',
    columns: [
      ...acquisitionColumns,
      { metric: 'callerFairness', title: 'Jain index of the callers' },
      { metric: 'commandsPerAcquisition', title: 'commands/acquisition' },
      ...safetyColumns,
    ],
    ratios: [{ metric: 'acquisitionsPerSecond', to: 'redlock' }],
    waits: true,
    settings: { rounds: 5, ms: 800, processes: 1, callers: 100, warmUp: 1500 },
    smoke: { rounds: 1, ms: 150, warmUp: 100 },
    run: inFreshProcesses,
  },
  {
    url: import.meta.url,
    name: 'W4b',
    title: '2 processes with 8 callers each, one lock: local batches while the other process waits',
    columns: [
      ...acquisitionColumns,
      { metric: 'handOffsPerSecond', title: 'hand-offs/s' },
      { metric: 'processFairness', title: 'Jain index of the processes' },
      ...safetyColumns,
    ],
    ratios: [{ metric: 'acquisitionsPerSecond', to: 'dist-lock~apart' }],
    takesPart: ({ kind }) => kind === 'ours',
    settings: { rounds: 5, ms: 800, processes: 2, callers: 8, warmUp: 1500 },
    smoke: { rounds: 1, ms: 150, warmUp: 100 },
    run: inFreshProcesses,
  },
];
