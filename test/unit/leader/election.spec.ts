import { LockServiceClosedError, NotLeaderError, type Term } from 'nestjs-dist-lock';
import { interval, map, of } from 'rxjs';
import { beforeEach, describe, expect, it } from 'vitest';
import type { ElectionSettings } from '../../../lib/leader/election-settings.js';
import { Candidate } from '../../support/engine/candidate.js';
import { Engine, outcome, request } from '../../support/engine/engine.js';

// Rules S2 and S9 of docs/internals/safety.md.
describe('an election', () => {
  let a: Candidate;
  let b: Candidate;
  const clock = (): Engine['clock'] => a.engine.clock;
  const advance = (milliseconds: number): Promise<void> => clock().advance(milliseconds);
  const pair = (settings: Partial<ElectionSettings> = {}): void => {
    const engine = new Engine(undefined, undefined, 'a');
    a = new Candidate(engine, 'a', settings);
    b = new Candidate(engine.peer('b'), 'b', settings);
  };
  const start = async (): Promise<void> => {
    await a.start();
    await advance(0);
    await b.start();
    await advance(10);
  };
  beforeEach(() => pair());

  it('has one leader, whom the others know', async () => {
    await start();
    expect(a.roles).toEqual(['follower', 'candidate', 'leader']);
    expect(b.leader.isLeader()).toBe(false);
    expect(b.leader.state).toMatchObject({
      role: 'candidate',
      term: null,
      leader: { id: 'a', url: 'http://a', metadata: { zone: 'x' }, role: 'leader' },
    });
    expect(a.leader.state.leader).toEqual(b.leader.state.leader);
    expect(a.leader.assertLeader().number).toBe(a.leader.state.term!.number);
    expect(() => b.leader.assertLeader()).toThrow(NotLeaderError);
    expect(() => b.leader.assertLeader()).toThrow('This instance does not lead election "default"; a leads.');
  });

  it('is renewed every retry period for as long as nothing happens', async () => {
    await start();
    await advance(120_000);
    expect(a.roles).toEqual(['follower', 'candidate', 'leader']);
    expect(a.engine.driver.callsOf('renew')).toHaveLength(60);
    expect(b.leader.isLeader()).toBe(false);
    // Who waits has heard of the leader all the time.
    const [first, ...later] = b.states.filter(({ role }) => role === 'candidate').slice(1);
    expect(first).toMatchObject({ leader: { id: 'a' } });
    expect(later).toEqual([]);
    expect(b.leader.state.leader).toMatchObject({ id: 'a' });
  });

  it('passes on at once when the leader resigns, with a larger term', async () => {
    await start();
    const first = a.leader.assertLeader();
    await a.leader.resign();
    await advance(1);
    const second = b.leader.assertLeader();
    expect(second.number).toBeGreaterThan(first.number);
    expect(first.signal.aborted).toBe(true);
    expect(a.roles).toEqual(['follower', 'candidate', 'leader', 'stepping-down', 'follower']);
    await advance(5000);
    expect(a.leader.state).toMatchObject({ role: 'candidate', leader: { id: 'b' } });
  });

  it('passes on when the leader dies, after its lease has run out', async () => {
    await start();
    a.cutOff();
    a.engine.driver.calls.length = 0;
    await advance(15_000 - 20);
    expect(b.leader.isLeader()).toBe(false);
    await advance(250);
    expect(b.leader.isLeader()).toBe(true);
  });

  it('ends the term at the renew deadline when the store is out of reach, long before another can lead', async () => {
    await start();
    const { signal } = a.leader.assertLeader();
    await advance(1990);
    a.cutOff();
    await advance(9_990);
    expect(a.leader.isLeader()).toBe(true);
    await advance(20);
    expect(a.leader.isLeader()).toBe(false);
    expect(signal.reason).toBeInstanceOf(NotLeaderError);
    expect(b.leader.isLeader()).toBe(false);
    expect(a.roles).toEqual(['follower', 'candidate', 'leader', 'stepping-down', 'candidate']);
    expect(a.states[3]!.reason).toMatch(/could not be renewed in time/);
  });

  it('is not led, at any read, once the deadline has passed in a blocked event loop', async () => {
    await start();
    const before = a.leader.state;
    clock().block(9_989);
    expect(a.leader.isLeader()).toBe(true);
    clock().block(1);
    expect(a.leader.isLeader()).toBe(false);
    expect(a.leader.state).toMatchObject({ role: 'stepping-down', term: null, leader: null, since: before.since });
    expect(() => a.leader.assertLeader()).toThrow(NotLeaderError);
    expect(await a.leader.runAsLeader(() => Promise.resolve('ran'))).toBeUndefined();
    expect(a.roles.at(-1)).toBe('leader');
  });

  it('tells a late subscriber of no leadership that is over', async () => {
    await start();
    clock().block(20_000);
    const seen: string[] = [];
    a.leader.state$.subscribe(({ role, leader }) => seen.push(`${role}, led by ${leader?.id}`));
    expect(seen).toEqual(['stepping-down, led by undefined']);
    await advance(10);
    expect(new Set(seen).size).toBe(seen.length);
  });

  it('never ends campaigning because of an error', async () => {
    a.engine.driver.next('acquire', { reject: new Error('boom') }, { reject: new Error('boom') });
    a.engine.driver.unreachable = true;
    a.leader.start();
    await advance(100_000);
    expect(a.leader.state.role).toBe('candidate');
    a.engine.driver.unreachable = false;
    await advance(2000);
    expect(a.leader.isLeader()).toBe(true);
  });

  it('is entered again after a loss', async () => {
    await start();
    a.cutOff();
    await advance(30_000);
    a.reconnect();
    await advance(5000);
    expect(a.leader.state).toMatchObject({ role: 'candidate', leader: { id: 'b' } });
    await b.leader.stop();
    await advance(3000);
    expect(a.leader.isLeader()).toBe(true);
  });

  it('never shows role leader twice without an end between', async () => {
    await start();
    for (let round = 0; round < 10; round++) {
      await (a.leader.isLeader() ? a : b).leader.resign();
      await advance(3000);
    }
    for (const { roles } of [a, b]) {
      expect(roles.filter((role) => role === 'leader').length).toBeGreaterThan(3);
      roles.forEach((role, index) => role === 'leader' && expect(roles[index - 1]).not.toBe('leader'));
    }
  });

  it('is not inherited by a restarted process with the same instance id', async () => {
    await start();
    a.cutOff();
    const restarted = new Candidate(a.engine.peer('a'), 'a');
    restarted.leader.start();
    await advance(5000);
    expect(restarted.leader.isLeader()).toBe(false);
    expect(restarted.leader.state.leader).toBeNull();
  });

  describe('with leader work that is still running', () => {
    async function leadWithWork(): Promise<{ term: Term; finish: () => void; done: { settled: boolean } }> {
      await start();
      let finish!: () => void;
      let term!: Term;
      const work = a.leader.runAsLeader((current) => {
        term = current;
        return new Promise<void>((resolve) => (finish = resolve));
      });
      await advance(0);
      return { term, finish, done: outcome(work) };
    }

    it('is handed over when the work has ended, and kept until then', async () => {
      const { term, finish } = await leadWithWork();
      const resigned = outcome(a.leader.resign());
      expect(a.leader.isLeader()).toBe(false);
      expect(term.signal.aborted).toBe(true);
      await advance(4000);
      expect(resigned.settled).toBe(false);
      expect(b.leader.isLeader()).toBe(false);
      finish();
      await advance(1);
      expect(resigned.settled).toBe(true);
      expect(b.leader.isLeader()).toBe(true);
    });

    it('is left to its TTL when the work does not end within the grace period, with a report', async () => {
      await leadWithWork();
      const resigned = outcome(a.leader.resign());
      await advance(5000);
      expect(resigned.settled).toBe(true);
      expect(a.problems).toEqual([expect.stringMatching(/still runs 5000 ms after its term ended/)]);
      expect(b.leader.isLeader()).toBe(false);
      await advance(15_000);
      expect(b.leader.isLeader()).toBe(true);
    });

    it('is not campaigned for before the work of the earlier term has ended', async () => {
      const { finish } = await leadWithWork();
      a.cutOff();
      await advance(12_000);
      a.reconnect();
      await advance(10_000);
      await b.leader.stop();
      await advance(60_000);
      expect(a.leader.state.role).toBe('stepping-down');
      finish();
      await advance(10);
      expect(a.leader.isLeader()).toBe(true);
    });

    it('can be resigned from inside that work, which does not wait for itself', async () => {
      await start();
      const order: string[] = [];
      const work = a.leader.runAsLeader(async () => {
        await a.leader.resign();
        order.push('resigned', b.leader.isLeader() ? 'b leads' : 'nobody leads');
      });
      await work;
      await advance(1);
      order.push(b.leader.isLeader() ? 'b leads' : 'nobody leads');
      expect(order).toEqual(['resigned', 'nobody leads', 'b leads']);
      expect(a.problems).toEqual([]);
    });

    it.each<[string, (resign: () => Promise<void>) => Promise<unknown>]>([
      ['a lock', (resign) => a.engine.manager.withLock(request(), resign)],
      ['leader work of its own', (resign) => a.leader.runAsLeader(resign)],
      ['leader work of another election', (resign) => b.leader.runAsLeader(resign)],
    ])('can be resigned from inside that work through %s', async (_where, through) => {
      pair();
      b = new Candidate(a.engine, 'a', { name: 'other', storeKey: 'test:e:other', membersScope: 'test:m:other' });
      a.leader.start();
      b.leader.start();
      await advance(10);
      const work = outcome(a.leader.runAsLeader(() => through(() => a.leader.resign())));
      await advance(1);
      expect(work.settled).toBe(true);
      expect(a.problems).toEqual([]);
    });

    it('is waited for by code that an earlier piece of work left behind', async () => {
      const { finish } = await leadWithWork();
      let leftBehind!: () => void;
      let resigned!: { settled: boolean };
      await a.leader.runAsLeader(async () => {
        const later = new Promise<void>((resolve) => (leftBehind = resolve));
        resigned = outcome(later.then(() => a.leader.resign()));
      });
      leftBehind();
      await advance(1);
      expect(a.leader.isLeader()).toBe(false);
      expect(resigned.settled).toBe(false);
      finish();
      await advance(1);
      expect(resigned.settled).toBe(true);
    });

    it('is left in time at shutdown, though the work never ends', async () => {
      await leadWithWork();
      const stopped = outcome(a.leader.stop());
      expect(a.leader.isLeader()).toBe(false);
      await advance(4999);
      expect(stopped.settled).toBe(false);
      await advance(1);
      expect(stopped.settled).toBe(true);
    });
  });

  it('is handed over at shutdown, and its observables complete', async () => {
    await start();
    const { signal } = a.leader.assertLeader();
    let completed = false;
    a.leader.state$.subscribe({ complete: () => (completed = true) });
    await a.leader.stop();
    await advance(1);
    expect(b.leader.isLeader()).toBe(true);
    expect(signal.aborted).toBe(true);
    expect(a.roles.slice(-2)).toEqual(['stepping-down', 'stopped']);
    expect(completed).toBe(true);
  });

  it('is not handed over at shutdown when releaseOnShutdown is off', async () => {
    pair({ releaseOnShutdown: false });
    await start();
    await a.leader.stop();
    await advance(10_000);
    expect(b.leader.isLeader()).toBe(false);
    await advance(6000);
    expect(b.leader.isLeader()).toBe(true);
  });

  it('can be left before it was entered, and while campaigning', async () => {
    await a.leader.stop();
    expect(a.leader.state.role).toBe('stopped');
    pair();
    await start();
    await b.leader.stop();
    await a.leader.stop();
    await advance(60_000);
    expect(b.roles).not.toContain('leader');
    expect(await a.engine.store.inspect('test:e:default')).toBeNull();
  });

  it('is only watched with autoCampaign off, until campaign() is called', async () => {
    pair({ autoCampaign: false });
    await start();
    await advance(5000);
    expect(a.leader.state).toMatchObject({ role: 'follower', leader: null });
    await a.leader.campaign();
    await advance(3000);
    expect(a.leader.isLeader()).toBe(true);
    expect(b.leader.state).toMatchObject({ role: 'follower', leader: { id: 'a' } });
    await a.leader.resign();
    await advance(10_000);
    expect(a.leader.state.role).toBe('follower');
  });

  it('goes on when the lock service is closed under it', async () => {
    await start();
    await b.leader.stop();
    await b.engine.manager.close(0);
    expect(b.problems).toEqual([]);
    expect(a.leader.isLeader()).toBe(true);
    await expect(b.engine.manager.acquire({ key: 'k', storeKey: 'n', ttl: 100, limit: { wait: 1 } })).rejects.toThrow(
      LockServiceClosedError,
    );
  });
});

describe('the observables of a leader', () => {
  function candidate(): Candidate {
    return new Candidate(new Engine(undefined, undefined, 'a'), 'a');
  }

  it('tell every subscriber the same story in the same order, also when one of them causes the next change', async () => {
    const a = candidate();
    const early: string[] = [];
    const late: string[] = [];
    a.leader.state$.subscribe(({ role }) => {
      early.push(role);
      if (role === 'leader') void a.leader.resign();
    });
    a.leader.state$.subscribe(({ role }) => late.push(role));
    a.leader.start();
    await a.engine.clock.advance(100);
    expect(early).toEqual(['follower', 'candidate', 'leader', 'stepping-down', 'follower']);
    expect(late).toEqual(early);
  });

  it('say whether and who leads', async () => {
    const a = candidate();
    const leading: boolean[] = [];
    const leaders: (string | undefined)[] = [];
    a.leader.isLeader$.subscribe((value) => leading.push(value));
    a.leader.leader$.subscribe((value) => leaders.push(value?.id));
    a.leader.start();
    await a.engine.clock.advance(10);
    await a.leader.resign();
    await a.engine.clock.advance(3000);
    expect(leading).toEqual([false, true, false, true]);
    expect(leaders).toEqual([undefined, 'a', undefined, 'a']);
  });

  it('project a stream while leading, anew in each term', async () => {
    const a = candidate();
    const seen: number[] = [];
    a.leader.whileLeader(({ number }) => of(number)).subscribe((value) => seen.push(value));
    expect(seen).toEqual([]);
    a.leader.start();
    await a.engine.clock.advance(10);
    await a.leader.resign();
    await a.engine.clock.advance(3000);
    expect(seen).toHaveLength(2);
    expect(seen[1]).toBeGreaterThan(seen[0]!);
  });

  it('emit nothing after the end of a term that the event loop was too busy to notice', async () => {
    const a = candidate();
    const ticks: boolean[] = [];
    const naive: boolean[] = [];
    let flag = false;
    a.leader.isLeader$.subscribe((value) => (flag = value));
    const gated = a.leader
      .whileLeader(() => interval(5).pipe(map(() => a.leader.isLeader())))
      .subscribe((value) => ticks.push(value));
    const flagged = interval(5).subscribe(() => flag && naive.push(a.leader.isLeader()));
    a.leader.start();
    await a.engine.clock.advance(10);
    const ticked = new Promise<void>((resolve) => {
      const subscription = interval(5).subscribe((count) => {
        if (count === 4) a.engine.clock.block(20_000);
        if (count < 10) return;
        subscription.unsubscribe();
        resolve();
      });
    });
    await ticked;
    gated.unsubscribe();
    flagged.unsubscribe();
    expect(ticks.length).toBeGreaterThan(2);
    expect(ticks).not.toContain(false);
    // Control: a gate that trusts the last news ran without the lease.
    expect(naive).toContain(false);
  });
});
