import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { randomFrom } from '../support/engine/seeded-random.js';
import { FencedResource } from '../support/history/fenced-resource.mjs';
import { checkHistory } from '../support/history/history.js';
import { useRedis } from '../support/servers/use-redis.js';
import { type Disturbance, Electorate, type Kind } from './electorate.js';

const LEASE = 1000;
const ELECTION = { leaseDuration: LEASE, renewDeadline: 700, retryPeriod: 150 };
/** What a fail-over may take beyond the lease, and what a machine under load may add to it. */
const FAIL_OVER = 250;
const LOAD = 500;
/** Of the leader and of those who wait. */
const HITS = { leader: 6, candidate: 4 };

/** Chooses what is done to whom and when; the processes answer in their own time, so a seed does not replay exactly. */
const SEED = Number(process.env.ELECTIONS_SEED ?? Math.floor(Math.random() * 1e9));

interface Followed extends Disturbance {
  /** Milliseconds from a disturbance to the first belief of the next term. */
  took: number;
  /** Candidates that did not run for a part of that time. */
  stalls: number;
}

// Rules S2 and S9 of docs/internals/safety.md.
describe('an election among processes that are killed, stopped and shut down', () => {
  const { server, admin: redis } = useRedis();
  let electorate: Electorate;
  afterEach(() => electorate.kill());

  async function history() {
    const log = await new FencedResource(redis, 'resource').log();
    return { log, ...checkHistory(electorate.beliefs, log) };
  }

  function follow(disturbance: Disturbance): Followed {
    const { token, at } = disturbance;
    const later = electorate.beliefs.filter((belief) => belief.token > token);
    const next = Math.min(...later.map(({ from }) => from));
    const stalls = electorate.stalls.filter(({ from, until }) => from < next && until > at).length;
    return { ...disturbance, took: next - at, stalls };
  }

  it('never has two leaders, and has the next one in time', { timeout: 120_000 }, async () => {
    console.log(`ELECTIONS_SEED=${SEED}`);
    const random = randomFrom(SEED);
    electorate = new Electorate('abcdefgh', server.url, ELECTION, 'clock', 'fenced');
    await electorate.ready();
    for (const { kind, target } of shuffledPlan(random)) {
      const [choice, stopFor, rest] = [random(), LEASE + 100 + random() * 600, random() * 300];
      const victim = await (target === 'leader' ? electorate.leader() : electorate.candidate(choice));
      await electorate.disturb(kind, victim, stopFor);
      await sleep(rest);
    }
    const unprovoked = electorate.beliefs.length - 1 - electorate.disturbances.length;
    await electorate.end();

    const { disturbances, pauses, beliefs, exits } = electorate;
    const { log, ...violations } = await history();
    const followed = disturbances.map((disturbance) => follow(disturbance));
    report(followed);
    console.log(
      `${beliefs.length} terms, ${unprovoked} of them unprovoked, ${log.length} writes, ${electorate.refused} refused; a leader that went on saw that its ` +
        `term is over after ${spread(pauses.map(({ continuedAt, endedAt }) => endedAt - continuedAt))}`,
    );

    expect(violations).toEqual({ duplicateTokens: [], overlaps: [], tokenOrderViolations: [], staleWrites: [] });
    expect(electorate.resurrected).toEqual([]);
    expect(disturbances).toHaveLength(3 * HITS.leader);
    for (const hit of followed) expect(hit.took, JSON.stringify(hit)).toBeLessThan(allowedFor(hit));
    // It never reads that it leads after it went on, not even once.
    expect(pauses).toHaveLength(HITS.leader);
    for (const { token, continuedAt, endedAt } of pauses) {
      const { until } = beliefs.find((belief) => belief.token === token)!;
      expect(until).toBeLessThan(continuedAt);
      expect(endedAt).toBeGreaterThanOrEqual(continuedAt);
    }
    expect(electorate.refused).toBeGreaterThan(0);
    expect(exits).toEqual(Array.from({ length: 8 + HITS.leader + HITS.candidate }, () => [0, null]));
  });

  it(
    'control: leaders that trust what they were told lead together, and their late writes are taken',
    { timeout: 60_000 },
    async () => {
      electorate = new Electorate('abc', server.url, ELECTION, 'flag', 'unfenced');
      await electorate.ready();
      for (let pause = 0; pause < 4; pause++) {
        // One that is stopped while it renews, as at the begin of its term, hears that its time is over when it goes on.
        await sleep(200);
        await electorate.disturb('pause', await electorate.leader(), LEASE + 100);
      }
      await electorate.end();
      const { overlaps, staleWrites } = await history();
      expect(overlaps.length).toBeGreaterThan(0);
      expect(staleWrites.length).toBeGreaterThan(0);
    },
  );

  it('control: a leader that shuts down without handing over is followed too late', async () => {
    electorate = new Electorate('abc', server.url, { ...ELECTION, releaseOnShutdown: false }, 'clock', 'fenced');
    await electorate.ready();
    await electorate.disturb('terminate', await electorate.leader(), 0);
    await electorate.end();
    const { took, kind } = follow(electorate.disturbances[0]!);
    expect(took).toBeGreaterThan(allowedFor({ kind, stalls: 0 }));
  });
});

/** Milliseconds until the next leader. */
function allowedFor({ kind, stalls }: Pick<Followed, 'kind' | 'stalls'>): number {
  // A candidate that stalls may be handed the lease, for two thirds of its length, before it counts as gone.
  return (kind === 'terminate' ? 0 : LEASE + FAIL_OVER) + LOAD + stalls * LEASE;
}

function shuffledPlan(random: () => number): { kind: Kind; target: 'leader' | 'candidate' }[] {
  const kinds: Kind[] = ['kill', 'pause', 'terminate'];
  const targets = ['leader', 'candidate'] as const;
  return kinds
    .flatMap((kind) =>
      targets.flatMap((target) => Array.from({ length: HITS[target] }, () => ({ kind, target, order: random() }))),
    )
    .sort((one, other) => one.order - other.order);
}

function report(followed: Followed[]): void {
  for (const kind of ['kill', 'pause', 'terminate']) {
    for (const isStalled of [false, true]) {
      const hits = followed.filter((hit) => hit.kind === kind && hit.stalls > 0 === isStalled);
      const took = hits.map((hit) => hit.took);
      const what = `${kind}${isStalled ? ' while a candidate is stopped' : ''}`;
      if (took.length > 0) console.log(`${what}: next leader after ${spread(took)}`);
    }
  }
}

function spread(milliseconds: number[]): string {
  const sorted = [...milliseconds].sort((a, b) => a - b);
  const at = (part: number): string => sorted[Math.ceil(part * sorted.length) - 1]?.toFixed(1) ?? '-';
  return `p50 ${at(0.5)} p95 ${at(0.95)} max ${at(1)} ms (${sorted.length})`;
}
