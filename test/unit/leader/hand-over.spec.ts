import { DriverUnavailableError, LockConfigError, MemberNotFoundError, NotLeaderError } from 'nestjs-dist-lock';
import { beforeEach, describe, expect, it } from 'vitest';
import type { ElectionSettings } from '../../../lib/leader/election-settings.js';
import { preferredOf } from '../../../lib/leader/leading.js';
import type { Candidacy } from '../../../lib/leader/peer-records.js';
import { Candidate } from '../../support/engine/candidate.js';
import { Engine, outcome } from '../../support/engine/engine.js';

describe('the candidate that a hand-over prefers', () => {
  const fact = (id: string, priority: number, role: Candidacy['member']['role'] = 'candidate'): Candidacy => ({
    member: { id, metadata: {}, role, joinedAt: 0 },
    priority,
    process: id,
  });

  it.each<[string, Candidacy[], string | undefined]>([
    ['nobody, where there is no candidate', [fact('self', 9), fact('b', 5, 'follower')], undefined],
    ['nobody, where all have the same priority', [fact('b', 1), fact('c', 1)], undefined],
    ['nobody, where there is one candidate', [fact('b', 7)], undefined],
    ['the one of the highest priority', [fact('b', -1), fact('c', 2), fact('d', 1)], 'c'],
    ['the one that joined first, of the highest', [fact('b', 0), fact('c', 2), fact('d', 2)], 'c'],
    ['only who campaigns', [fact('b', 0), fact('c', 1), fact('d', 9, 'stepping-down')], 'c'],
    ['never the one that hands over', [fact('self', 9), fact('b', 0), fact('c', 1)], 'c'],
  ])('is %s', (_who, members, expected) => {
    expect(preferredOf(members, 'self')).toBe(expected);
  });
});

describe('a hand-over', () => {
  let a: Candidate;
  let b: Candidate;
  let c: Candidate;
  const advance = (milliseconds: number): Promise<void> => a.engine.clock.advance(milliseconds);
  /** `a` leads; `b` has waited longer than `c`. */
  const start = async (priorities: [number, number, number], settings: Partial<ElectionSettings> = {}) => {
    const engine = new Engine(undefined, undefined, 'a');
    const make = (own: Engine, id: string, priority: number) => new Candidate(own, id, { ...settings, priority });
    a = make(engine, 'a', priorities[0]);
    b = make(engine.peer('b'), 'b', priorities[1]);
    c = make(engine.peer('c'), 'c', priorities[2]);
    for (const candidate of [a, b, c]) {
      await candidate.start();
      await advance(10);
    }
  };
  const leaders = (): string[] => [a, b, c].filter(({ leader }) => leader.isLeader()).map(({ id }) => id);
  beforeEach(() => start([0, 0, 0]));

  it('goes to who has waited longest', async () => {
    await a.leader.resign();
    await advance(1);
    expect(leaders()).toEqual(['b']);
  });

  it.each<[string, () => Promise<void>]>([
    ['a resignation', () => a.leader.resign()],
    ['a shutdown', () => a.leader.stop()],
  ])('goes to the highest priority at %s', async (_when, end) => {
    await start([0, 1, 2]);
    await end();
    await advance(1);
    expect(leaders()).toEqual(['c']);
  });

  it('never takes the term of a leader, whatever the priorities', async () => {
    await start([-5, 1, 2]);
    await advance(120_000);
    expect(leaders()).toEqual(['a']);
    expect(a.eventsOf('elected')).toHaveLength(1);
  });

  it('goes to somebody else where the one of the highest priority has died', async () => {
    await start([0, 1, 2]);
    c.cutOff();
    await advance(4000);
    expect((await a.leader.members()).map(({ id }) => id)).toContain('c');
    await a.leader.resign();
    await advance(5000);
    expect(leaders()).toEqual(['b']);
  });

  it('does not wait long for members that the store does not tell', async () => {
    await start([0, 1, 2]);
    a.engine.driver.factsHangs = true;
    const resigned = outcome(a.leader.resign());
    await advance(499);
    expect(leaders()).toEqual([]);
    await advance(2);
    expect(resigned.settled).toBe(true);
    expect(leaders()).toEqual(['b']);
    const stopped = outcome(b.leader.stop());
    await advance(1);
    expect(stopped.settled).toBe(true);
  });

  it('is not held up at a shutdown by a fact store that does not answer', async () => {
    a.engine.driver.factsHangs = true;
    const stopped = outcome(a.leader.stop());
    await advance(501);
    expect(leaders()).toEqual(['b']);
    await advance(1000);
    expect(stopped.settled).toBe(true);
  });

  describe('to a member that the leader names', () => {
    it('goes to it', async () => {
      await a.leader.resign({ to: 'c' });
      await advance(1);
      expect(leaders()).toEqual(['c']);
      await advance(3000);
      expect(a.leader.state).toMatchObject({ role: 'candidate', leader: { id: 'c' } });
    });

    it('goes to it although another has a higher priority', async () => {
      await start([0, 2, 1]);
      await a.leader.resign({ to: 'c' });
      await advance(1);
      expect(leaders()).toEqual(['c']);
    });

    it.each<[string, () => unknown, string, string]>([
      ['is unknown', () => undefined, 'x', 'Candidates: b, c.'],
      ['is the leader itself', () => undefined, 'a', 'Candidates: b, c.'],
      ['has left', () => c.leader.stop(), 'c', 'Candidates: b.'],
      [
        'does not campaign',
        async () => {
          await start([0, 0, 0], { autoCampaign: false });
          await a.leader.campaign();
          await advance(10);
        },
        'c',
        'No other instance campaigns.',
      ],
    ])('is refused where it %s, and leadership is kept', async (_what, prepare, to, text) => {
      await prepare();
      const term = a.leader.assertLeader();
      const error = await a.leader.resign({ to }).catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(MemberNotFoundError);
      expect((error as Error).message).toBe(
        `Instance "${to}" does not campaign in election "default", so it cannot lead. ${text}`,
      );
      await advance(30_000);
      expect(a.leader.state.term).toBe(term);
    });

    it('is refused where it has died and is no longer listed', async () => {
      c.cutOff();
      await advance(15_000);
      await expect(a.leader.resign({ to: 'c' })).rejects.toThrow(MemberNotFoundError);
      expect(leaders()).toEqual(['a']);
    });

    it.each([
      [{ two: 'c' }, 'resign(): two: unknown option. Known: to.'],
      [{ to: 5 }, 'resign(): to: expected a string.'],
      ['c', 'resign(): options: expected an object.'],
    ])('is refused where it is said as %o, and leadership is kept', async (options, text) => {
      await expect(a.leader.resign(options as object)).rejects.toEqual(new LockConfigError(text));
      expect(leaders()).toEqual(['a']);
    });

    it('is refused by an instance that does not lead', async () => {
      await expect(b.leader.resign({ to: 'c' })).rejects.toThrow(NotLeaderError);
      await advance(100);
      expect(leaders()).toEqual(['a']);
    });

    it('is refused where the term ends while the members are looked up', async () => {
      a.engine.driver.factsTakes = 20_000;
      const resigned = outcome(a.leader.resign({ to: 'c' }));
      a.engine.driver.unreachable = true;
      await advance(20_100);
      expect(resigned.error).toBeInstanceOf(NotLeaderError);
    });

    it('is refused while the store is down, and leadership is kept', async () => {
      a.engine.driver.unreachable = true;
      await expect(a.leader.resign({ to: 'c' })).rejects.toThrow(DriverUnavailableError);
      expect(leaders()).toEqual(['a']);
    });

    it('is refused where the driver cannot choose', async () => {
      const store = a.engine.store;
      Object.defineProperty(store, 'capabilities', { value: { ...store.capabilities, queue: false } });
      await expect(a.leader.resign({ to: 'c' })).rejects.toThrow(LockConfigError);
      expect(leaders()).toEqual(['a']);
    });
  });
});
