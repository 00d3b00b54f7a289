// One run of one workload: its server, its workers, its rounds, and what they measured.
import { pinnableCpu } from './cpu.mjs';
import { RedisServer } from './redis-server.mjs';
import { Result } from './result.mjs';
import { WorkerProcess } from './worker-process.mjs';

/**
 * A module of ../workloads exports `tasks`, which its workers run, and `workloads`:
 * - `name`, `title`, `url` (its own), `settings` of a full run and those that differ in a `smoke` run
 * - `run(bench)`: arranges the tasks and records, for each round and contestant, one row of metrics
 * - `columns`: [{ metric, title, total? }] of the report, and `ratios`: [{ metric, to }]
 * - perhaps `waits` (there is waiting), `renews` (locks are kept), `pinned` (server and workers share one CPU),
 *   `takesPart(contestant)`, or its own `contestants`, or `startServer()` where that is not a Redis server
 */
export async function runWorkload(workload, contestants, settings, progress) {
  const cpu = workload.pinned ? pinnableCpu() : undefined;
  const run = new Run(workload, contestants, settings, cpu, progress);
  if (workload.pinned) {
    run.note(
      cpu === undefined
        ? 'Not pinned to one CPU: there is no `taskset` here, so the goals for one CPU do not apply.'
        : 'Server and clients pinned to one CPU.',
    );
  }
  try {
    run.server = await (workload.startServer ?? RedisServer.start)(cpu);
    await workload.run(run);
  } finally {
    await run.end();
  }
  return run.result;
}

export function takesPart(workload, { name, kind, only, waiting, renews }) {
  if (only) return only.includes(workload.name);
  if (workload.takesPart) return workload.takesPart({ name, kind });
  return (workload.waits || !waiting) && (renews || !workload.renews);
}

class Run {
  server;
  result;
  settings;
  contestants;
  #workload;
  #cpu;
  #workers = [];
  #progress;

  constructor(workload, contestants, settings, cpu, progress) {
    this.settings = settings;
    this.contestants = contestants;
    this.result = new Result(workload, contestants, settings);
    this.#workload = workload;
    this.#cpu = cpu;
    this.#progress = progress;
  }

  /** A worker in which these contestants are open. */
  start(...contestants) {
    return this.startAt(this.server.port, ...contestants);
  }

  /** As `start`, but it reaches the server through other ports. */
  async startAt(port, ...contestants) {
    const worker = await WorkerProcess.start(this.#workload.url, port, this.#cpu);
    this.#workers.push(worker);
    for (const contestant of contestants) await worker.open(contestant);
    return worker;
  }

  /** Every round measures every contestant, each round in another order; with `warmUp` an unrecorded round first. */
  async rounds(measure, { warmUp = false } = {}) {
    for (let round = warmUp ? -1 : 0; round < this.settings.rounds; round++) {
      for (const contestant of this.inOrder(round)) {
        await this.attempt(contestant, async () => {
          const row = await measure(contestant, round);
          if (round >= 0) this.result.record(contestant, round, row);
        });
      }
      this.progress(round);
    }
  }

  /** The contestants in the order of this round. */
  inOrder(round) {
    const first = Math.max(0, round) % this.contestants.length;
    return [...this.contestants.slice(first), ...this.contestants.slice(0, first)];
  }

  /** A contestant that fails altogether, rather than giving up on a lock, takes no further part and has no figures. */
  async attempt(contestant, task) {
    try {
      return await task();
    } catch (error) {
      this.note(`${contestant.name} failed and was left out: ${error.message.split('\n')[0]}`);
      this.contestants = this.contestants.filter((other) => other !== contestant);
      this.result.drop(contestant);
    }
  }

  note(text) {
    this.result.notes.push(text);
    this.#progress(`${this.#workload.name}: ${text}`);
  }

  progress(round) {
    this.#progress(
      `${this.#workload.name}: ${round < 0 ? 'warm-up' : `round ${round + 1} of ${this.settings.rounds}`}`,
    );
  }

  async end() {
    await Promise.all(this.#workers.map((worker) => worker.stop()));
    await this.server?.stop();
  }
}
