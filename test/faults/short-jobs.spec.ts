import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';
import { useRedis } from '../support/servers/use-redis.js';

const REPLICA = fileURLToPath(new URL('short-jobs-replica.mjs', import.meta.url));
const PERIOD = 2000;
/** 60 by hand: TICKS=60 npx vitest run test/faults/short-jobs.spec.ts */
const TICKS = Number(process.env['TICKS'] ?? 20);
/** Milliseconds by which the clocks are ahead. */
const CLOCKS = { a: 0, b: 30, c: -40 };

interface Line {
  readonly job: string;
  readonly instant: number;
}

const redis = useRedis();
const children = new Set<ChildProcess>();

afterEach(async () => {
  await Promise.all(
    [...children].map(async (child) => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill('SIGTERM');
      await once(child, 'exit');
    }),
  );
});

describe('three processes with clocks 0, +30 and -40 ms, and jobs of 1 ms', () => {
  it(
    `run each of ${TICKS} ticks once, by holdAtLeast, by @OncePerTick and by @LeaderOnly; without them they do not`,
    { timeout: TICKS * PERIOD + 60_000 },
    async () => {
      const lines: Line[] = [];
      const errors: string[] = [];
      let heard = (): void => undefined;
      for (const [id, ahead] of Object.entries(CLOCKS)) {
        const child = spawn(process.execPath, [REPLICA, redis.server.url, id, String(ahead)], {
          stdio: ['ignore', 'pipe', 'pipe'],
        });
        children.add(child);
        child.once('exit', (code) => {
          errors.push(`Replica ${id} ended with ${code}.`);
          heard();
        });
        child.stderr.setEncoding('utf8').on('data', (text: string) => {
          errors.push(text);
          heard();
        });
        createInterface(child.stdout).on('line', (text) => {
          lines.push(JSON.parse(text) as Line);
          heard();
        });
      }
      const until = (isSo: () => boolean): Promise<void> =>
        new Promise((resolve, reject) => {
          heard = () => {
            if (errors.length > 0) reject(new Error(errors.join('')));
            if (isSo()) resolve();
          };
          heard();
        });
      const ready = (): number[] => lines.filter(({ job }) => job === 'ready').map(({ instant }) => instant);
      await until(() => ready().length === 3);
      // A replica is there for all of the tick after the next one.
      const first = Math.ceil((Math.max(...ready()) + PERIOD) / PERIOD) * PERIOD;
      const ticks = Array.from({ length: TICKS }, (_, index) => first + index * PERIOD);
      const last = first + TICKS * PERIOD;
      await until(() => lines.filter(({ job, instant }) => job === 'nothing' && instant >= last).length === 3);

      const runs = (name: string): number[] =>
        ticks.map((tick) => lines.filter(({ job, instant }) => job === name && instant === tick).length);
      const each = (count: number): number[] => ticks.map(() => count);
      expect(runs('nothing')).toEqual(each(3));
      expect(runs('holdAtLeast')).toEqual(each(1));
      expect(runs('oncePerTick')).toEqual(each(1));
      expect(runs('leaderOnly')).toEqual(each(1));
      // Control: a lock that is released at once.
      expect(runs('skip').filter((count) => count > 1).length).toBeGreaterThan(0);
    },
  );
});
