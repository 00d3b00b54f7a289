import { beforeEach, describe, expect, it } from 'vitest';
import type { ElectionSettings } from '../../../lib/leader/election-settings.js';
import type { CallbackKind } from '../../../lib/leader/term-callbacks.js';
import { Candidate } from '../../support/engine/candidate.js';
import { Engine, outcome } from '../../support/engine/engine.js';

describe('the callbacks of an election', () => {
  let a: Candidate;
  let b: Candidate;
  let calls: string[];
  const advance = (milliseconds: number): Promise<void> => a.engine.clock.advance(milliseconds);
  const create = (settings: Partial<ElectionSettings> = {}): void => {
    const engine = new Engine(undefined, undefined, 'a');
    a = new Candidate(engine, 'a', settings);
    b = new Candidate(engine.peer('b'), 'b', settings);
    calls = [];
  };
  const start = async (): Promise<void> => {
    await a.start();
    await advance(0);
    await b.start();
    await advance(10);
  };
  /** A callback that says when it is called, and when it is done. */
  const slow = (kind: CallbackKind, label: string): (() => void) => {
    let finish!: () => void;
    a.leader.callbacks.add(kind, label, async () => {
      calls.push(label);
      await new Promise<void>((resolve) => (finish = resolve));
      calls.push(`${label} done`);
    });
    return () => finish();
  };
  const note = (kind: CallbackKind, label: string): void =>
    a.leader.callbacks.add(kind, label, () => void calls.push(label));
  beforeEach(() => create());

  it('get the term and its signal, the reason, and the member', async () => {
    const got: unknown[] = [];
    a.leader.callbacks.add('started', 'S', (argument) => got.push(argument));
    a.leader.callbacks.add('stopped', 'E', (argument) => got.push(argument));
    a.leader.callbacks.add('newLeader', 'N', (argument) => got.push(argument));
    await start();
    const term = a.leader.assertLeader();
    expect(got).toEqual([
      { ...a.leader.self, role: 'leader' },
      { term, signal: term.signal },
    ]);
    await a.leader.resign();
    await advance(100);
    expect(got.slice(2)).toEqual(['Resigned.', b.leader.self]);
  });

  it('are called once per term, started before stopped', async () => {
    note('started', 'started');
    note('stopped', 'stopped');
    await start();
    for (let round = 0; round < 3; round++) {
      await a.leader.resign();
      await advance(2100);
      await b.leader.resign();
      await advance(2100);
    }
    expect(calls).toEqual(['started', 'stopped', 'started', 'stopped', 'started', 'stopped', 'started']);
    await a.leader.stop();
    expect(calls.slice(-2)).toEqual(['started', 'stopped']);
  });

  it('are all called, those of every provider', async () => {
    for (const label of ['s1', 's2']) note('started', label);
    for (const label of ['e1', 'e2']) note('stopped', label);
    await start();
    await a.leader.resign();
    expect(calls).toEqual(['s1', 's2', 'e1', 'e2']);
  });

  it('are not called for a term that ended before they could be', async () => {
    note('started', 'started');
    note('stopped', 'stopped');
    const subscription = a.leader.isLeader$.subscribe((leads) => leads && void a.leader.resign());
    await start();
    expect(a.roles).toContain('leader');
    expect(calls).toEqual([]);
    subscription.unsubscribe();
  });

  it('wait for each other: stopped for started, the hand-over for both, and the next campaign, too', async () => {
    const endStarted = slow('started', 'started');
    const endStopped = slow('stopped', 'stopped');
    await start();
    const resigned = outcome(a.leader.resign());
    await advance(1000);
    expect(calls).toEqual(['started']);
    endStarted();
    await advance(1000);
    expect(calls).toEqual(['started', 'started done', 'stopped']);
    expect(resigned.settled).toBe(false);
    expect(b.leader.isLeader()).toBe(false);
    endStopped();
    await advance(1);
    expect(resigned.settled).toBe(true);
    expect(b.leader.isLeader()).toBe(true);
  });

  it('that never settle leave the lease to its TTL, and the instance does not campaign again, with a report', async () => {
    slow('started', 'started');
    note('stopped', 'stopped');
    await start();
    const resigned = outcome(a.leader.resign());
    await advance(4999);
    expect(calls).toEqual(['started']);
    await advance(1);
    // In the end it is called although the other one runs on.
    expect(calls).toEqual(['started', 'stopped']);
    expect(resigned.settled).toBe(true);
    expect(a.problems).toEqual([expect.stringMatching(/still runs 5000 ms after its term ended/)]);
    expect(a.eventsOf('drained')).toMatchObject([{ unfinished: expect.any(Number) }]);
    await advance(15_000);
    expect(b.leader.isLeader()).toBe(true);
    await b.leader.stop();
    await advance(60_000);
    expect(a.leader.state.role).toBe('stepping-down');
  });

  it('that settle late let the instance campaign again then, and not before stopped has settled', async () => {
    const endStarted = slow('started', 'started');
    const endStopped = slow('stopped', 'stopped');
    await start();
    await b.leader.stop();
    void a.leader.resign();
    await advance(30_000);
    endStarted();
    await advance(30_000);
    expect(a.leader.state.role).toBe('stepping-down');
    endStopped();
    await advance(2100);
    expect(a.leader.isLeader()).toBe(true);
    expect(calls).toEqual(['started', 'stopped', 'started done', 'stopped done', 'started']);
  });

  it.each<[string, (signal: AbortSignal) => unknown]>([
    ['the reason of the signal', (signal) => signal.reason],
    ['what a request throws that was given the signal', () => new DOMException('aborted', 'AbortError')],
    ['that it does not lead', () => a.leader.assertLeader()],
  ])('learn of a loss by the signal, and may then throw %s', async (_what, error) => {
    const reasons: unknown[] = [];
    a.leader.callbacks.add('started', 'started', async ({ signal }) => {
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
      calls.push('aborted');
      throw error(signal);
    });
    a.leader.callbacks.add('stopped', 'stopped', (reason) => reasons.push(reason));
    await start();
    a.cutOff();
    await advance(12_000);
    expect(calls).toEqual(['aborted']);
    expect(reasons).toEqual([expect.stringMatching(/could not be renewed in time/)]);
    expect(a.events.map(({ type }) => type)).toEqual(['elected', 'term-ended', 'drained']);
    expect(a.eventsOf('drained')).toMatchObject([{ finished: 2, unfinished: 0 }]);
  });

  describe('that throw', () => {
    const boom = new Error('boom');
    it.each<[string, 'started' | 'newLeader', (argument: object) => unknown]>([
      [
        'a started callback that throws',
        'started',
        () => {
          throw boom;
        },
      ],
      ['a started callback that rejects', 'started', () => Promise.reject(boom)],
      [
        'a callback for the new leader, which is this instance',
        'newLeader',
        async (leader) => {
          if ('id' in leader && leader.id === 'a') throw boom;
        },
      ],
    ])('end the term: %s', async (_what, kind, call) => {
      note('started', 'started');
      note('stopped', 'stopped');
      a.leader.callbacks.add(kind, 'Jobs.follow', call);
      await start();
      await advance(10);
      expect(a.roles.slice(0, 5)).toEqual(['follower', 'candidate', 'leader', 'stepping-down', 'follower']);
      expect(calls).toEqual(['started', 'stopped']);
      expect(a.eventsOf('callback-failed')).toEqual([
        { type: 'callback-failed', election: 'default', callback: 'Jobs.follow', cause: boom },
      ]);
      expect(a.eventsOf('term-ended')).toMatchObject([{ reason: 'Jobs.follow failed.' }]);
      expect(a.problems).toEqual(['Jobs.follow, a callback of election "default", failed.']);
      expect(b.leader.isLeader()).toBe(true);
    });

    it('long after the start end the term, too', async () => {
      let fail!: () => void;
      a.leader.callbacks.add('started', 'Jobs.lead', () => new Promise((_, reject) => (fail = () => reject(boom))));
      await start();
      await advance(60_000);
      fail();
      await advance(10);
      expect(b.leader.isLeader()).toBe(true);
    });

    it('at the end change nothing', async () => {
      a.leader.callbacks.add('stopped', 'Jobs.clean', () => {
        throw boom;
      });
      note('stopped', 'stopped');
      await start();
      await a.leader.resign();
      await advance(10);
      expect(calls).toEqual(['stopped']);
      expect(a.eventsOf('callback-failed')).toMatchObject([{ callback: 'Jobs.clean', cause: boom }]);
      expect(b.leader.isLeader()).toBe(true);
      await b.leader.stop();
      await advance(2100);
      expect(a.leader.isLeader()).toBe(true);
    });

    it('because another instance leads do not end a term', async () => {
      b.leader.callbacks.add('newLeader', 'Jobs.follow', () => Promise.reject(boom));
      await start();
      await advance(100);
      expect(b.eventsOf('callback-failed')).toHaveLength(1);
      expect(a.leader.isLeader()).toBe(true);
      expect(b.leader.state.role).toBe('candidate');
    });

    it('in every term rest for longer and longer between', async () => {
      a.leader.callbacks.add('started', 'Jobs.lead', () => Promise.reject(boom));
      await a.start();
      await advance(120_000);
      const terms = a.eventsOf('elected').length;
      expect(terms).toBeGreaterThan(3);
      // Control: without damping it were one per retry period, 60.
      expect(terms).toBeLessThan(10);
    });
  });

  it('may resign, which ends the term that they were called in', async () => {
    a.leader.callbacks.add('started', 'started', async () => {
      calls.push('started');
      await a.leader.resign();
      calls.push('resigned');
    });
    note('stopped', 'stopped');
    await start();
    await advance(10);
    expect(calls).toEqual(['started', 'resigned', 'stopped']);
    expect(b.leader.isLeader()).toBe(true);
  });

  it('are told of a leader once, however often it is seen', async () => {
    a.leader.callbacks.add('newLeader', 'N', ({ id }) => void calls.push(id));
    await start();
    await advance(60_000);
    await a.leader.resign();
    await advance(60_000);
    b.cutOff();
    await advance(14_000);
    b.reconnect();
    await advance(60_000);
    expect(calls.slice(0, 2)).toEqual(['a', 'b']);
    calls.forEach((id, index) => expect(id).not.toBe(calls[index + 1]));
  });
});
