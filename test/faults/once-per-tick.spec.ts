import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';
import { useRedis } from '../support/servers/use-redis.js';

const REPLICA = fileURLToPath(new URL('ticking-replica.mjs', import.meta.url));

type Guard = 'claim' | 'nothing' | 'now';

interface Line {
  readonly id: string;
  readonly type: 'ready' | 'begin' | 'end' | 'fire-claimed' | 'fire-taken' | 'fire-abandoned';
  readonly instant: number;
  readonly by?: string;
}

const redis = useRedis();
const children = new Set<ChildProcess>();

afterEach(async () => {
  await Promise.all([...children].map((child) => end(child, 'SIGKILL')));
});

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill(signal);
  await once(child, 'exit');
}

/** What replicas wrote, in the order in which it was read. */
class Replicas {
  readonly lines: Line[] = [];
  readonly errors: string[] = [];
  readonly #seen = new Set<(line: Line) => void>();
  readonly #running = new Map<string, ChildProcess>();

  constructor(readonly guard: Guard) {}

  /** Resolves when it is ready. */
  async start(id: string, ahead: number): Promise<void> {
    const child = spawn(process.execPath, [REPLICA, redis.server.url, id, String(ahead), this.guard], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    children.add(child);
    this.#running.set(id, child);
    child.once('exit', () => children.delete(child));
    child.stderr.setEncoding('utf8').on('data', (text: string) => this.errors.push(text));
    createInterface(child.stdout).on('line', (text) => {
      const line = JSON.parse(text) as Line;
      this.lines.push(line);
      for (const listener of this.#seen) listener(line);
    });
    await this.until((line) => line.id === id && line.type === 'ready');
  }

  on(listener: (line: Line) => void): void {
    this.#seen.add(listener);
  }

  /** Resolves when a line comes that says so. */
  until(says: (line: Line) => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      const listener = (line: Line): void => {
        if (!says(line)) return;
        clearTimeout(timeout);
        this.#seen.delete(listener);
        resolve();
      };
      const fail = (): void =>
        reject(new Error(`It did not come. ${JSON.stringify(this.lines)} ${this.errors.join('')}`));
      const timeout = setTimeout(fail, 40_000);
      this.on(listener);
    });
  }

  kill(id: string): void {
    this.#running.get(id)!.kill('SIGKILL');
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#running.values()].map((child) => end(child, 'SIGTERM')));
  }

  of(type: Line['type']): number[] {
    return this.lines.filter((line) => line.type === type).map(({ instant }) => instant);
  }
}

/** The instants that were begun more than once. */
function doubled(begun: readonly number[]): number[] {
  return begun.filter((instant, index) => begun.indexOf(instant) !== index);
}

const sorted = (instants: readonly number[]): number[] => [...instants].sort((a, b) => a - b);

const PERIOD = 2000;
const CLOCKS = { a: 0, b: 400, c: -700 };

describe('three processes whose clocks differ', { timeout: 60_000 }, () => {
  it('run each fire at most once while claimants are killed, and report those that died with it', async () => {
    const replicas = new Replicas('claim');
    const killed: number[] = [];
    replicas.on((line) => {
      if (line.type !== 'begin' || killed.length === 3 || replicas.of('begin').length % 2 !== 0) return;
      killed.push(line.instant);
      replicas.kill(line.id);
      const [clock, round] = line.id.split('-') as [keyof typeof CLOCKS, string];
      void replicas.start(`${clock}-${Number(round) + 1}`, CLOCKS[clock]);
    });
    const reported = replicas.until(
      () => killed.length === 3 && killed.every((instant) => replicas.of('fire-abandoned').includes(instant)),
    );
    await Promise.all(Object.entries(CLOCKS).map(([clock, ahead]) => replicas.start(`${clock}-1`, ahead)));
    await reported;
    await replicas.stop();

    const begun = replicas.of('begin');
    expect(doubled(begun)).toEqual([]);
    expect(sorted(replicas.of('fire-claimed'))).toEqual(sorted(begun));
    // Those that died are lost, and no others: what began has ended.
    expect(sorted(begun.filter((instant) => !replicas.of('end').includes(instant)))).toEqual(sorted(killed));
    expect(sorted(replicas.of('fire-abandoned'))).toEqual(sorted(killed));
    // And the others ran: none was missed while somebody was there.
    const span = (Math.max(...begun) - Math.min(...begun)) / PERIOD + 1;
    expect(begun.length).toBeGreaterThanOrEqual(span - killed.length);
    expect(replicas.errors).toEqual([]);
  });

  it.each<[Guard, string]>([
    ['nothing', 'no claim'],
    ['now', 'a claim for the time of the tick'],
  ])('control, %s: with %s the same check finds fires that ran more than once', async (guard) => {
    const replicas = new Replicas(guard);
    await Promise.all(Object.entries(CLOCKS).map(([clock, ahead]) => replicas.start(`${clock}-1`, ahead)));
    await replicas.until(() => doubled(replicas.of('begin')).length > 0);
    await replicas.stop();
  });
});
