import { setTimeout as sleep } from 'node:timers/promises';
import { RedlockDriver } from 'nestjs-dist-lock/redis';
import { afterEach, describe, expect, it } from 'vitest';
import { SystemClock } from '../../lib/core/clock.js';
import { LockManager } from '../../lib/locks/lock-manager.js';
import { request } from '../support/engine/engine.js';
import { type Belief, checkHistory } from '../support/history/history.js';
import { RedisServer } from '../support/servers/redis-server.js';
import { useRedisServers } from '../support/servers/use-redis.js';

const TTL = 400;
const NOTHING = { duplicateTokens: [], overlaps: [], tokenOrderViolations: [], staleWrites: [] };

const servers = useRedisServers(5);
afterEach(() => Promise.all(servers.map((server) => server.restart())));

/** Takes the lock again and again, each time with another of these drivers, and says when it believed to have it. */
class Contender {
  readonly beliefs: Belief[] = [];
  unavailable = 0;
  readonly #manager: LockManager;
  readonly #id: string;

  constructor(id: string, choice: readonly RedisServer[]) {
    this.#id = id;
    const driver = new RedlockDriver({ servers: choice.map(({ url }) => url) });
    this.#manager = new LockManager({
      driver,
      instance: id,
      clock: new SystemClock(),
      random: Math.random,
      emit: () => undefined,
    });
  }

  async run(end: AbortSignal): Promise<void> {
    await this.#manager.connect();
    while (!end.aborted) {
      try {
        const lock = await this.#manager.acquire(request({ ttl: TTL, limit: { wait: 5000 }, signal: end }));
        const from = performance.now();
        let until = from;
        // Now and then longer than a TTL, so that renewals decide.
        const work = Math.random() < 0.1 ? 1.5 * TTL : Math.random() * 20;
        while (lock.held && performance.now() - from < work) {
          until = performance.now();
          await sleep(2);
        }
        if (lock.held) until = performance.now();
        this.beliefs.push({ id: this.#id, token: lock.fencingToken, from, until });
        await lock.release();
      } catch {
        if (end.aborted) break;
        this.unavailable++;
      }
    }
    await this.#manager.close(0);
  }
}

/** Stops two servers at a time, or kills them until what they forgot has run out. */
async function disturb(end: AbortSignal): Promise<number> {
  let faults = 0;
  while (!end.aborted) {
    const victims = servers.toSorted(() => Math.random() - 0.5).slice(0, 1 + (faults % 2));
    if (faults % 3 === 2) {
      await Promise.all(victims.map((server) => server.kill()));
      await sleep(TTL + 100);
      await Promise.all(victims.map((server) => server.restart()));
    } else {
      for (const server of victims) server.pause();
      await sleep(50 + Math.random() * 1.5 * TTL);
      for (const server of victims) server.resume();
    }
    faults++;
    // So that never more than two are without what the others know.
    await sleep(150);
  }
  return faults;
}

async function contest(choices: readonly (readonly RedisServer[])[], milliseconds: number) {
  const end = AbortSignal.timeout(milliseconds);
  const contenders = choices.map((choice, index) => new Contender(`contender ${index}`, choice));
  const [faults] = await Promise.all([disturb(end), ...contenders.map((contender) => contender.run(end))]);
  const beliefs = contenders.flatMap((contender) => contender.beliefs);
  return { faults, contenders, beliefs, history: checkHistory(beliefs, []) };
}

describe('five servers of which up to two at a time are stopped, or killed for longer than the TTL', () => {
  it('never have two holders, and number them in their order', { timeout: 40_000 }, async () => {
    const { faults, contenders, beliefs, history } = await contest(Array(5).fill(servers), 9000);
    if (process.env['SHOW_FIGURES']) {
      console.log({ faults, grants: beliefs.length, unavailable: contenders.map(({ unavailable }) => unavailable) });
    }
    expect(history).toEqual(NOTHING);
    expect(faults).toBeGreaterThan(8);
    expect(beliefs.length).toBeGreaterThan(30);
    for (const { beliefs: own } of contenders) expect(own.length).toBeGreaterThan(2);
  });

  it(
    'control: contenders that count two of five as a majority have the lock together',
    { timeout: 40_000 },
    async () => {
      // Two of three servers, for everybody others.
      const choices = [servers.slice(0, 3), servers.slice(2, 5), [servers[0]!, servers[3]!, servers[4]!]];
      const { history } = await contest(choices, 3000);
      expect(history.overlaps.length).toBeGreaterThan(0);
    },
  );
});
