import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, describe, expect, it, vi } from 'vitest';
import { Queues } from '../../lib/drivers/etcd/queue/queues.js';
import { request } from '../support/engine/engine.js';
import type { RealEngine } from '../support/engine/real-engine.js';
import { type Belief, checkHistory } from '../support/history/history.js';
import type { EtcdMember } from '../support/servers/etcd-server.js';
import { useEtcd } from '../support/servers/use-etcd.js';

const TTL = 2000;
const NONE = { duplicateTokens: [], overlaps: [], tokenOrderViolations: [], staleWrites: [] };

const etcd = useEtcd({ members: 3 });
const figures: string[] = [];
afterAll(() => console.log(figures.join('\n')));

/** Instances that take one lock in turns, each for a moment, and what they believed. */
class Contest {
  readonly beliefs: Belief[] = [];
  #ends = false;
  readonly #done: Promise<void>[];
  #granted: (() => void)[] = [];

  constructor(engines: readonly RealEngine[]) {
    this.#done = engines.map((engine) => this.#contend(engine));
  }

  /** Resolves after so many further grants. */
  async grants(count: number): Promise<void> {
    for (let grant = 0; grant < count; grant++) await new Promise<void>((resolve) => this.#granted.push(resolve));
  }

  async end(): Promise<void> {
    this.#ends = true;
    await Promise.all(this.#done);
  }

  /** The longest time without a grant that began after `since`. */
  gap(since: number): number {
    const times = this.beliefs.map(({ from }) => from).toSorted((a, b) => a - b);
    const gaps = times.slice(1).map((time, index) => ({ time, gap: time - times[index]! }));
    return Math.round(Math.max(...gaps.filter(({ time }) => time > since).map(({ gap }) => gap)));
  }

  async #contend({ manager }: RealEngine): Promise<void> {
    while (!this.#ends) {
      const lock = await manager.acquire(request({ ttl: TTL, limit: { wait: Infinity } }));
      const from = performance.now();
      let until = from;
      for (const granted of this.#granted.splice(0)) granted();
      for (let look = 0; look < 3 && lock.held; look++) {
        until = performance.now();
        await sleep(5);
      }
      this.beliefs.push({ id: manager.instance, token: lock.fencingToken, from, until });
      await lock.release();
    }
  }
}

const faults: { name: string; hit: () => Promise<EtcdMember> }[] = [
  {
    name: 'the leader of etcd is killed',
    hit: async () => {
      const leader = await etcd.cluster.leader();
      await leader.kill();
      return leader;
    },
  },
  {
    name: 'the leader of etcd is stopped, and its connections stay open',
    hit: async () => {
      const leader = await etcd.cluster.leader();
      leader.pause();
      return leader;
    },
  },
  {
    name: 'a follower is stopped, and its connections stay open',
    hit: async () => {
      const [follower] = await etcd.cluster.followers();
      follower!.pause();
      return follower!;
    },
  },
];

describe('instances that contend on three members', () => {
  it.each(faults)('never overlap and soon go on when $name', async ({ name, hit }) => {
    // Each begins with another member, so that one is connected to the one that fails.
    const engines = ['a', 'b', 'c'].map((id, index) => {
      vi.spyOn(Math, 'random').mockReturnValueOnce(index / 3);
      return etcd.engine(id);
    });
    const holder = etcd.engine('holder');
    const kept = await holder.manager.acquire(request({ key: 'kept', storeKey: 'test:l:kept', ttl: 4000 }));
    const contest = new Contest(engines);
    await contest.grants(10);
    const at = performance.now();
    const member = await hit();
    await contest.grants(20);
    if (member.isRunning) member.resume();
    await contest.grants(5);
    await contest.end();
    figures.push(`etcd, ${name}: no grant for ${contest.gap(at)} ms`);
    expect(checkHistory(contest.beliefs, [])).toEqual(NONE);
    expect(contest.gap(at)).toBeLessThan(8000);
    expect(kept.held).toBe(true);
    expect(holder.events.filter(({ type }) => type === 'lost')).toEqual([]);
  });

  it('control: instances that take every answer for a grant overlap', async () => {
    let token = 0;
    vi.spyOn(Queues.prototype, 'enter').mockImplementation(async () => ({
      status: 'held',
      token: ++token,
      waiters: 0,
    }));
    const contest = new Contest(['a', 'b', 'c'].map((id) => etcd.engine(id)));
    await contest.grants(10);
    await contest.end();
    vi.restoreAllMocks();
    expect(checkHistory(contest.beliefs, []).overlaps.length).toBeGreaterThan(0);
  });

  it('without a quorum nobody is granted or renewed anything; with it they go on', async () => {
    const [holder, waiter] = [etcd.engine('holder'), etcd.engine('waiter')];
    const lock = await holder.manager.acquire(request({ ttl: TTL, limit: { wait: Infinity } }));
    const waiting = waiter.manager.acquire(request({ ttl: TTL, limit: { wait: Infinity } }));
    await waiter.event('contended');
    const [one, other] = await etcd.cluster.followers();
    const at = performance.now();
    await Promise.all([one!.kill(), other!.kill()]);
    await holder.event('lost');
    const lostAfter = performance.now() - at;
    // By its own clock, within the TTL of the last renewal that a quorum has confirmed.
    expect(lostAfter).toBeLessThan(TTL + 250);
    expect(lock.held).toBe(false);
    await Promise.all([holder.store('down'), waiter.store('down')]);
    await expect(
      holder.manager.acquire(request({ key: 'x', storeKey: 'test:l:x', limit: { wait: 500 } })),
    ).rejects.toThrow(/etcd/);
    const back = performance.now();
    await Promise.all([one!.launch(), other!.launch()]);
    const next = await waiting;
    figures.push(
      `etcd, quorum lost: the holder knows after ${Math.round(lostAfter)} ms; ` +
        `after its return the next one has the lock within ${Math.round(performance.now() - back)} ms`,
    );
    expect(next.fencingToken).toBeGreaterThan(lock.fencingToken);
    await Promise.all([holder.store('up'), waiter.store('up')]);
  });
});
