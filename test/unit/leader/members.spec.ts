import { DriverUnavailableError, type Member } from 'nestjs-dist-lock';
import { MemoryDriver } from 'nestjs-dist-lock/memory';
import { beforeEach, describe, expect, it } from 'vitest';
import type { LockDriver } from '../../../lib/core/lock-driver.js';
import type { ElectionSettings } from '../../../lib/leader/election-settings.js';
import { ManualClock } from '../../../lib/testing/manual-clock.js';
import { Candidate, ELECTION } from '../../support/engine/candidate.js';
import { Engine } from '../../support/engine/engine.js';

const LEASE = ELECTION.leaseDuration;

describe('the members of an election', () => {
  let first: Engine;
  const instances = new Map<string, Candidate>();
  const advance = (milliseconds: number): Promise<void> => first.clock.advance(milliseconds);
  const join = async (id: string, settings: Partial<ElectionSettings> = {}): Promise<Candidate> => {
    const candidate = new Candidate(instances.size === 0 ? first : first.peer(id), id, settings);
    instances.set(id, candidate);
    await candidate.start();
    await advance(10);
    return candidate;
  };
  const rolesOf = (members: readonly Member[]): string[] => members.map(({ id, role }) => `${id} ${role}`);
  beforeEach(() => {
    first = new Engine(undefined, undefined, 'c');
    instances.clear();
  });

  it('are listed by every instance, in the order in which they joined', async () => {
    const c = await join('c');
    const a = await join('a');
    const b = await join('b', { autoCampaign: false });
    const members = await b.leader.members();
    expect(rolesOf(members)).toEqual(['c leader', 'a candidate', 'b follower']);
    expect(members[0]).toEqual({
      id: 'c',
      url: 'http://c',
      metadata: { zone: 'x' },
      role: 'leader',
      joinedAt: c.leader.self.joinedAt,
    });
    expect(await a.leader.members()).toEqual(members);
    expect(await c.leader.members()).toEqual(members);
    expect(members).toEqual([c.leader.self, a.leader.self, b.leader.self]);
  });

  it('are told apart by the scope of their election', async () => {
    await join('c');
    const other = await join('a', { membersScope: 'green:m:default', storeKey: 'green:e:default' });
    expect(rolesOf(await other.leader.members())).toEqual(['a leader']);
  });

  it('are pushed when one appears, changes its role, or leaves', async () => {
    const c = await join('c');
    const seen: string[][] = [];
    const subscription = c.leader.members$.subscribe((members) => seen.push(rolesOf(members)));
    await advance(0);
    const a = await join('a');
    await c.leader.resign();
    await advance(10);
    await c.leader.stop();
    await a.leader.stop();
    // Far less than the poll behind the push.
    expect(first.clock.now()).toBeLessThan(100);
    expect(seen[0]).toEqual(['c leader']);
    expect(seen).toContainEqual(['c leader', 'a candidate']);
    expect(seen).toContainEqual(['c follower', 'a leader']);
    expect(subscription.closed).toBe(true);
  });

  it('are polled where the push is lost', async () => {
    const c = await join('c');
    first.driver.deaf = true;
    const seen: string[][] = [];
    c.leader.members$.subscribe((members) => seen.push(rolesOf(members)));
    await advance(0);
    await join('a');
    expect(seen).toEqual([['c leader']]);
    await advance(2000);
    expect(seen.at(-1)).toEqual(['c leader', 'a candidate']);
  });

  it('disappear within a lease duration after their process died, also from members$', async () => {
    const c = await join('c');
    const a = await join('a', { autoCampaign: false });
    const seen: string[][] = [];
    c.leader.members$.subscribe((members) => seen.push(rolesOf(members)));
    for (const died of [1, 3749, 3751]) {
      await advance(died);
      a.cutOff();
      await advance(LEASE * 0.4);
      expect(rolesOf(await c.leader.members())).toEqual(['c leader', 'a follower']);
      await advance(LEASE * 0.6);
      expect(rolesOf(await c.leader.members())).toEqual(['c leader']);
      expect(seen.at(-1)).toEqual(['c leader']);
      a.reconnect();
      await advance(LEASE);
      expect(seen.at(-1)).toEqual(['c leader', 'a follower']);
    }
  });

  it('stay for as long as they live, also over a time in which the store is down', async () => {
    const c = await join('c');
    const b = await join('b');
    await advance(10 * LEASE);
    expect(rolesOf(await c.leader.members())).toEqual(['c leader', 'b candidate']);
    b.cutOff();
    await advance(5 * LEASE);
    expect(rolesOf(await c.leader.members())).toEqual(['c leader']);
    b.reconnect();
    await advance(LEASE / 4);
    expect(rolesOf(await c.leader.members())).toEqual(['c leader', 'b candidate']);
  });

  it('are a rejection while the store is down, and members$ goes on when it is back', async () => {
    const c = await join('c');
    const seen: string[][] = [];
    c.leader.members$.subscribe((members) => seen.push(rolesOf(members)));
    await advance(0);
    c.cutOff();
    await expect(c.leader.members()).rejects.toThrow(DriverUnavailableError);
    await expect(c.leader.leader()).rejects.toThrow(DriverUnavailableError);
    await advance(60_000);
    c.reconnect();
    await advance(8000);
    await join('a');
    expect(seen.at(-1)).toEqual(['c leader', 'a candidate']);
    expect(c.problems).toEqual([expect.stringMatching(/^Campaigning in election "default" failed.*Not connected/)]);
  });

  it('share one look at the store among all who listen, and cost nothing when nobody does', async () => {
    const c = await join('c');
    const idle = async (): Promise<number> => {
      const before = first.driver.factsCalls;
      await advance(60_000);
      return first.driver.factsCalls - before;
    };
    const quiet = await idle();
    // One write per quarter of the lease duration.
    expect(quiet).toBeLessThanOrEqual(60_000 / (LEASE / 4) + 3);
    const subscriptions = [c.leader.members$.subscribe(), c.leader.members$.subscribe()];
    expect(await idle()).toBeLessThanOrEqual(quiet + 60_000 / 2000 + 1);
    for (const subscription of subscriptions) subscription.unsubscribe();
    expect(await idle()).toBeLessThanOrEqual(quiet);
  });

  it('cost a follower less than two requests per retry period', async () => {
    await join('c');
    const a = await join('a', { autoCampaign: false });
    await advance(LEASE);
    const { driver } = a.engine;
    const before = driver.factsCalls + driver.inspections + driver.calls.length;
    await advance(100 * 2000);
    const spent = driver.factsCalls + driver.inspections + driver.calls.length - before;
    expect(spent).toBeLessThanOrEqual(160);
  });

  it('are this instance and the leader with a driver that has no fact store', async () => {
    const clock = new ManualClock();
    const store = new MemoryDriver({ clock });
    const plain: LockDriver = Object.create(store, { facts: { value: undefined } });
    for (const method of ['connect', 'acquire', 'cancel', 'renew', 'release', 'inspect', 'close'] as const) {
      Object.defineProperty(plain, method, { value: store[method].bind(store) });
    }
    Object.defineProperty(plain, 'capabilities', { value: store.capabilities });
    first = new Engine(clock, plain, 'c');
    const c = await join('c');
    const a = await join('a');
    const seen: string[][] = [];
    a.leader.members$.subscribe((members) => seen.push(rolesOf(members)));
    expect(rolesOf(await a.leader.members())).toEqual(['c leader', 'a candidate']);
    expect(rolesOf(await c.leader.members())).toEqual(['c leader']);
    await c.leader.resign();
    await advance(4000);
    expect(seen.at(-1)).toEqual(['a leader']);
  });

  it('do not come back by a write that was on its way when they left', async () => {
    const c = await join('c');
    const a = new Candidate(first.peer('a'), 'a', { autoCampaign: false });
    a.engine.driver.factsTakes = 300;
    await a.start();
    await advance(100);
    a.engine.driver.factsTakes = 0;
    const left = a.leader.stop();
    await advance(1000);
    await left;
    expect(rolesOf(await c.leader.members())).toEqual(['c leader']);
  });

  it('ignore what they do not understand in the store', async () => {
    const c = await join('c');
    await first.store.facts!.put(ELECTION.membersScope, 'newer', 'a format of another version', 60_000);
    expect(rolesOf(await c.leader.members())).toEqual(['c leader']);
  });

  describe('that follow', () => {
    it('learn of a new leader by push, long before they poll', async () => {
      const c = await join('c');
      const b = await join('b');
      const watcher = await join('a', { autoCampaign: false });
      expect(watcher.leader.state.leader?.id).toBe('c');
      await c.leader.resign();
      await advance(1);
      expect(b.leader.isLeader()).toBe(true);
      expect(watcher.leader.state).toMatchObject({ role: 'follower', leader: { id: 'b' } });
      expect(c.leader.state).toMatchObject({ role: 'follower', leader: { id: 'b' } });
    });

    it('learn of a new leader by their poll where the push is lost', async () => {
      const c = await join('c');
      await join('b');
      const watcher = await join('a', { autoCampaign: false });
      watcher.engine.driver.deaf = true;
      await c.leader.resign();
      await advance(1);
      expect(watcher.leader.state.leader?.id).toBe('c');
      await advance(2000);
      expect(watcher.leader.state.leader?.id).toBe('b');
    });

    it('forget a leader that the store has not confirmed for a lease duration', async () => {
      await join('c');
      const a = await join('a');
      const leaders: (string | undefined)[] = [];
      a.leader.leader$.subscribe((leader) => leaders.push(leader?.id));
      a.cutOff();
      await advance(LEASE - 2000);
      expect(a.leader.state.leader?.id).toBe('c');
      await advance(2000);
      expect(leaders).toEqual(['c', undefined]);
      a.reconnect();
      await advance(2000);
      expect(leaders).toEqual(['c', undefined, 'c']);
    });

    it('ask the store for the leader where somebody wants to know now', async () => {
      const c = await join('c');
      const watcher = await join('a', { autoCampaign: false });
      watcher.engine.driver.deaf = true;
      await c.leader.resign();
      await advance(1);
      expect(watcher.leader.state.leader?.id).toBe('c');
      expect(await watcher.leader.leader()).toBeNull();
      await advance(3000);
      expect(await watcher.leader.leader()).toEqual(c.leader.self);
      expect(await c.leader.leader()).toEqual(c.leader.self);
    });
  });

  describe('with an instance id that is used twice', () => {
    it('report it loudly, once, and never lead at the same time', async () => {
      const one = await join('c');
      const two = new Candidate(first.peer('c'), 'c');
      await two.start();
      for (let passed = 0; passed < 3 * LEASE; passed += 250) {
        await advance(250);
        expect(one.leader.isLeader() && two.leader.isLeader()).toBe(false);
      }
      expect(two.problems).toEqual([
        expect.stringMatching(/^Another running process .* instance id "c" .* Give each process its own `instance.id`/),
      ]);
      expect(two.eventsOf('instance-id-taken')).toEqual([{ type: 'instance-id-taken', election: 'default', id: 'c' }]);
    });

    it('do not mistake a restart for that before they have written themselves', async () => {
      const before = await join('c');
      before.cutOff();
      const restarted = new Candidate(first.peer('c'), 'c');
      restarted.engine.driver.factsTakes = 200;
      await restarted.start();
      restarted.engine.driver.factsTakes = 0;
      expect((await restarted.leader.members()).map(({ id }) => id)).toEqual(['c']);
      await advance(LEASE);
      expect(restarted.problems).toEqual([]);
    });

    it('do not mistake a restart for that, nor inherit its lease', async () => {
      const before = await join('c');
      before.cutOff();
      const restarted = new Candidate(first.peer('c'), 'c');
      await restarted.start();
      await advance(LEASE - 100);
      expect(restarted.leader.isLeader()).toBe(false);
      await advance(350);
      expect(restarted.leader.isLeader()).toBe(true);
      await advance(3 * LEASE);
      expect(restarted.problems).toEqual([]);
    });
  });
});
