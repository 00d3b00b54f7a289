import { LockConfigError, NotLeaderError } from 'nestjs-dist-lock';
import { describe, expect, it } from 'vitest';
import type { ElectionSettings } from '../../../lib/leader/election-settings.js';
import { Candidate } from '../../support/engine/candidate.js';
import { Engine, outcome } from '../../support/engine/engine.js';

/** Two instances; `a` is started, and leads where it can, before `b` is. */
class Scene {
  readonly a: Candidate;
  readonly b: Candidate;

  constructor(settings: Partial<ElectionSettings> = {}) {
    const engine = new Engine(undefined, undefined, 'a');
    this.a = new Candidate(engine, 'a', settings);
    this.b = new Candidate(engine.peer('b'), 'b', settings);
  }

  async start(): Promise<this> {
    await this.a.start();
    await this.pass(0);
    await this.b.start();
    await this.pass(10);
    return this;
  }

  /** Lets time pass in steps, and looks at both instances at each of them. */
  async pass(milliseconds: number): Promise<void> {
    const { clock } = this.a.engine;
    const end = clock.now() + milliseconds;
    do {
      await clock.advance(Math.min(25, end - clock.now()));
      if (this.a.leader.isLeader() && this.b.leader.isLeader()) throw new Error(`Two leaders at ${clock.now()} ms.`);
    } while (clock.now() < end);
  }

  /** Leader work of `a` that goes on until `finish`. */
  async work(): Promise<() => void> {
    let finish!: () => void;
    void this.a.leader.runAsLeader(() => new Promise<void>((resolve) => (finish = resolve)));
    await this.pass(0);
    return finish;
  }

  async leaseInStore(): Promise<string | undefined> {
    return (await this.a.engine.store.inspect('test:e:default'))?.instance;
  }
}

interface Transition {
  readonly name: string;
  readonly settings?: Partial<ElectionSettings>;
  /** Default: both have started. */
  readonly from?: 'nothing';
  run(scene: Scene): Promise<void>;
  /** The roles of `a` from its start on. */
  readonly roles: readonly string[];
  check?(scene: Scene): unknown;
}

/** Calls `task` at the moment at which the lease is there, before the election knows. */
function onAcquired({ engine }: Candidate, task: () => void): void {
  const push = engine.events.push.bind(engine.events);
  engine.events.push = (...events) => {
    if (events.some(({ type }) => type === 'acquired')) task();
    return push(...events);
  };
}

const LED = ['follower', 'candidate', 'leader'] as const;
const leadsNow = ({ leader }: Candidate): void => expect(leader.isLeader()).toBe(true);

const transitions: Transition[] = [
  {
    name: 'a follower that campaigns leads where nobody does',
    run: async () => undefined,
    roles: LED,
    check: ({ b }) => expect(b.roles).toEqual(['follower', 'candidate']),
  },
  {
    name: 'a follower with autoCampaign off stays one',
    settings: { autoCampaign: false },
    run: (scene) => scene.pass(60_000),
    roles: ['follower'],
  },
  {
    name: 'a follower that is called to campaign does, and not any more once it resigned',
    settings: { autoCampaign: false },
    run: async (scene) => {
      await scene.a.leader.campaign();
      await scene.pass(100);
      await scene.a.leader.resign();
      await scene.pass(60_000);
    },
    roles: [...LED, 'stepping-down', 'follower'],
  },
  {
    name: 'a store that is down at the start is tried until it answers',
    from: 'nothing',
    run: async (scene) => {
      scene.a.cutOff();
      await scene.a.start();
      await scene.pass(300_000);
      expect(scene.a.roles).toEqual(['follower', 'candidate']);
      scene.a.reconnect();
      await scene.pass(2000);
    },
    roles: LED,
  },
  {
    name: 'a store that refuses is tried again, with longer and longer pauses, and each refusal is reported',
    from: 'nothing',
    run: async (scene) => {
      const refusal = new LockConfigError('NOPERM');
      scene.a.engine.driver.next('acquire', ...Array.from({ length: 8 }, () => ({ reject: refusal })));
      await scene.a.start();
      await scene.pass(240_000);
      expect(scene.a.eventsOf('campaign-failed')).toHaveLength(8);
      const times = scene.a.engine.driver.callsOf('acquire').map(({ at }) => at);
      const pauses = times.slice(1, 9).map((at, index) => at - times[index]!);
      expect(pauses).toEqual([1500, 3000, 6000, 12_000, 22_500, 22_500, 22_500, 22_500]);
    },
    roles: LED,
    check: ({ a }) => expect(a.problems[0]).toMatch(/^Campaigning in election "default" failed; trying again/),
  },
  {
    name: 'a store that goes down ends the term at the renew deadline, and the next one begins when it is back',
    run: async (scene) => {
      const { number } = scene.a.leader.assertLeader();
      scene.a.cutOff();
      scene.b.cutOff();
      await scene.pass(60_000);
      expect(scene.a.leader.state).toMatchObject({ role: 'candidate', leader: null });
      expect(scene.b.leader.state).toMatchObject({ role: 'candidate', leader: null });
      scene.a.reconnect();
      await scene.pass(2000);
      expect(scene.a.leader.assertLeader().number).toBeGreaterThan(number);
    },
    roles: [...LED, 'stepping-down', 'candidate', 'leader'],
    check: ({ a }) => expect(a.eventsOf('term-ended')).toMatchObject([{ reason: expect.stringMatching(/in time/) }]),
  },
  {
    name: 'a lost answer to a renewal changes nothing',
    run: async (scene) => {
      scene.a.engine.driver.next('renew', { loseAnswer: 400 }, { loseRequest: 400 });
      await scene.pass(30_000);
    },
    roles: LED,
  },
  {
    name: 'renewals whose answers are all lost do not lengthen the term',
    run: async (scene) => {
      scene.a.engine.driver.next('renew', ...Array.from({ length: 40 }, () => ({ loseAnswer: 300 })));
      await scene.pass(9900);
      leadsNow(scene.a);
      await scene.pass(120);
      expect(scene.a.leader.isLeader()).toBe(false);
      await scene.pass(100);
      leadsNow(scene.b);
    },
    roles: [...LED, 'stepping-down', 'candidate'],
  },
  {
    name: 'a lease that the store has no longer ends the term at the next renewal',
    run: async (scene) => {
      const { holder } = (await scene.a.engine.store.inspect('test:e:default'))!;
      await scene.a.engine.store.release({ key: 'test:e:default', holder, ttl: 15_000 });
      // The new leader may not know yet, and the old one does not: two leaders, as no lock can prevent.
      scene.b.cutOff();
      await scene.a.engine.clock.advance(2100);
    },
    roles: [...LED, 'stepping-down', 'candidate'],
    check: ({ a }) => expect(a.states.find(({ role }) => role === 'stepping-down')!.reason).toMatch(/no longer ours/),
  },
  {
    name: 'a renew deadline that passes while the event loop is blocked ends the term at every read, before the news',
    run: async (scene) => {
      const { signal } = scene.a.leader.assertLeader();
      scene.a.engine.clock.block(10_000);
      expect(scene.a.leader.isLeader()).toBe(false);
      expect(scene.a.leader.state).toMatchObject({ role: 'stepping-down', term: null });
      expect(() => scene.a.leader.assertLeader()).toThrow(NotLeaderError);
      // Control: whoever trusts the last news still believes in it.
      expect(scene.a.states.at(-1)!.role).toBe('leader');
      expect(signal.aborted).toBe(false);
      await scene.pass(100);
      expect(signal.aborted).toBe(true);
    },
    roles: [...LED, 'stepping-down', 'candidate'],
    check: ({ a }) => expect(a.eventsOf('term-ended')).toHaveLength(1),
  },
  {
    name: 'a leader that resigns follows for a retry period, then campaigns again',
    run: async (scene) => {
      await scene.a.leader.resign();
      await scene.pass(1);
      leadsNow(scene.b);
      await scene.pass(1900);
      expect(scene.a.leader.state).toMatchObject({ role: 'follower', leader: { id: 'b' } });
      await scene.pass(200);
    },
    roles: [...LED, 'stepping-down', 'follower', 'candidate'],
  },
  {
    name: 'a leader that resigns and is called to campaign does so at once',
    run: async (scene) => {
      await scene.a.leader.resign();
      await scene.a.leader.campaign();
      await scene.pass(100);
    },
    roles: [...LED, 'stepping-down', 'follower', 'candidate'],
  },
  {
    name: 'a leader that was called to campaign while it led rests all the same when it resigns',
    run: async (scene) => {
      await scene.a.leader.campaign();
      await scene.a.leader.resign();
      await scene.pass(1900);
    },
    roles: [...LED, 'stepping-down', 'follower'],
  },
  {
    name: 'a call to campaign that comes while stepping down is not forgotten',
    run: async (scene) => {
      const finish = await scene.work();
      void scene.a.leader.resign();
      await scene.a.leader.campaign();
      finish();
      await scene.pass(100);
    },
    roles: [...LED, 'stepping-down', 'candidate'],
  },
  {
    name: 'resigning does not touch a candidate that campaigns by itself',
    run: async (scene) => {
      await scene.b.leader.resign();
      await scene.a.leader.resign();
      await scene.pass(100);
    },
    roles: [...LED, 'stepping-down', 'follower'],
    check: ({ b }) => leadsNow(b),
  },
  {
    name: 'resigning during a campaign that was called for withdraws it',
    settings: { autoCampaign: false },
    run: async (scene) => {
      await scene.b.leader.campaign();
      await scene.pass(100);
      await scene.a.leader.campaign();
      await scene.pass(100);
      await scene.a.leader.resign();
      await scene.pass(0);
      expect(scene.a.leader.state.role).toBe('follower');
      await scene.pass(100);
      await scene.b.leader.resign();
      await scene.pass(30_000);
      expect(await scene.leaseInStore()).toBeUndefined();
    },
    roles: ['follower', 'candidate', 'follower'],
  },
  {
    name: 'resigning while the grant is on its way gives it back',
    settings: { autoCampaign: false },
    run: async (scene) => {
      scene.a.engine.driver.next('acquire', { answerAfter: 1000 });
      await scene.a.leader.campaign();
      await scene.pass(500);
      expect(await scene.leaseInStore()).toBe('a');
      await scene.a.leader.resign();
      await scene.pass(1000);
      expect(await scene.leaseInStore()).toBeUndefined();
    },
    roles: ['follower', 'candidate', 'follower'],
  },
  {
    name: 'resigning at the very moment of the grant gives it back',
    settings: { autoCampaign: false },
    run: async (scene) => {
      onAcquired(scene.a, () => void scene.a.leader.resign());
      await scene.a.leader.campaign();
      await scene.pass(100);
      expect(await scene.leaseInStore()).toBeUndefined();
    },
    roles: ['follower', 'candidate', 'follower'],
  },
  {
    name: 'stopping at the very moment of the grant gives it back',
    from: 'nothing',
    run: async (scene) => {
      onAcquired(scene.a, () => void scene.a.leader.stop());
      await scene.a.start();
      await scene.pass(100);
      expect(await scene.leaseInStore()).toBeUndefined();
    },
    roles: ['follower', 'candidate', 'stopped'],
  },
  {
    name: 'a lease whose deadline passes before it can be used is given back',
    from: 'nothing',
    run: async (scene) => {
      let isFirst = true;
      onAcquired(scene.a, () => {
        if (isFirst) scene.a.engine.clock.block(12_000);
        isFirst = false;
      });
      await scene.a.start();
      await scene.pass(1);
      await scene.pass(100);
    },
    roles: LED,
    check: ({ a }) => expect(a.eventsOf('elected')).toHaveLength(1),
  },
  {
    name: 'a release that gets lost is repeated',
    run: async (scene) => {
      scene.a.engine.driver.next('release', { loseRequest: 200 });
      void scene.a.leader.resign();
      await scene.pass(1000);
      leadsNow(scene.b);
    },
    roles: [...LED, 'stepping-down', 'follower'],
  },
  {
    name: 'a leader whose code runs on keeps the lease, and its renewals, within the grace period',
    run: async (scene) => {
      const finish = await scene.work();
      void scene.a.leader.resign();
      await scene.pass(4500);
      expect(await scene.leaseInStore()).toBe('a');
      finish();
      await scene.pass(10);
      leadsNow(scene.b);
    },
    roles: [...LED, 'stepping-down', 'follower'],
    check: ({ a }) => expect(a.eventsOf('drained')).toMatchObject([{ finished: 1, unfinished: 0 }]),
  },
  {
    name: 'a leader whose code never ends does not campaign again, and the lease runs out',
    run: async (scene) => {
      await scene.work();
      void scene.a.leader.resign();
      await scene.pass(5100);
      expect(scene.b.leader.isLeader()).toBe(false);
      await scene.pass(15_000);
      leadsNow(scene.b);
      await scene.b.leader.stop();
      await scene.pass(60_000);
      expect(await scene.leaseInStore()).toBeUndefined();
    },
    roles: [...LED, 'stepping-down'],
    check: ({ a }) => {
      expect(a.eventsOf('drained')).toMatchObject([{ finished: 0, unfinished: 1 }]);
      expect(a.problems).toEqual([expect.stringMatching(/still runs 5000 ms after its term ended/)]);
    },
  },
  {
    name: 'a store that goes down while code of the term runs on leaves the lease to its TTL',
    run: async (scene) => {
      const finish = await scene.work();
      void scene.a.leader.resign();
      await scene.pass(100);
      scene.a.cutOff();
      await scene.pass(4000);
      finish();
      await scene.pass(100);
      expect(scene.b.leader.isLeader()).toBe(false);
      await scene.pass(15_000);
      leadsNow(scene.b);
      scene.a.reconnect();
      await scene.pass(5000);
    },
    roles: [...LED, 'stepping-down', 'follower', 'candidate'],
  },
  {
    name: 'a lease that is lost while code of the term runs waits for that code all the same',
    run: async (scene) => {
      const finish = await scene.work();
      scene.a.cutOff();
      await scene.pass(14_000);
      scene.a.reconnect();
      await scene.pass(20_000);
      expect(scene.a.leader.state.role).toBe('stepping-down');
      leadsNow(scene.b);
      finish();
      await scene.pass(100);
    },
    roles: [...LED, 'stepping-down', 'candidate'],
    check: ({ a }) => expect(a.eventsOf('drained')).toMatchObject([{ finished: 0, unfinished: 1 }]),
  },
  {
    name: 'stopping ends it before the start',
    from: 'nothing',
    run: async (scene) => {
      await scene.a.leader.stop();
      await scene.a.start();
      await scene.pass(1000);
      expect(await scene.leaseInStore()).toBeUndefined();
    },
    roles: ['follower', 'stopped'],
  },
  {
    name: 'stopping ends the following',
    settings: { autoCampaign: false },
    run: async (scene) => {
      await scene.a.leader.stop();
      await scene.a.leader.campaign();
      await scene.pass(1000);
    },
    roles: ['follower', 'stopped'],
  },
  {
    name: 'stopping ends the campaign, also where a grant is on its way',
    from: 'nothing',
    run: async (scene) => {
      scene.a.engine.driver.next('acquire', { answerAfter: 1000 });
      await scene.a.start();
      await scene.pass(500);
      await scene.a.leader.stop();
      await scene.pass(1000);
      expect(await scene.leaseInStore()).toBeUndefined();
    },
    roles: ['follower', 'candidate', 'stopped'],
  },
  {
    name: 'stopping ends the campaign, also while the store is down',
    from: 'nothing',
    run: async (scene) => {
      scene.a.cutOff();
      await scene.a.start();
      await scene.pass(500);
      const stopped = outcome(scene.a.leader.stop());
      await scene.pass(1000);
      expect(stopped.settled).toBe(true);
    },
    roles: ['follower', 'candidate', 'stopped'],
  },
  {
    name: 'stopping hands a term over',
    run: async (scene) => {
      await scene.a.leader.stop();
      await scene.pass(1);
      leadsNow(scene.b);
    },
    roles: [...LED, 'stepping-down', 'stopped'],
  },
  {
    name: 'stopping while stepping down waits for the hand-over',
    run: async (scene) => {
      const finish = await scene.work();
      void scene.a.leader.resign();
      const stopped = outcome(scene.a.leader.stop());
      await scene.pass(1000);
      expect(stopped.settled).toBe(false);
      finish();
      await scene.pass(1);
      expect(stopped.settled).toBe(true);
      leadsNow(scene.b);
    },
    roles: [...LED, 'stepping-down', 'stopped'],
  },
  {
    name: 'stopping on the news of the own step down does not wait for a rest',
    run: async (scene) => {
      let stopped: Promise<void> | undefined;
      scene.a.leader.state$.subscribe(({ role }) => {
        if (scene.a.eventsOf('term-ended').length > 0 && role === 'follower') stopped ??= scene.a.leader.stop();
      });
      await scene.a.leader.resign();
      await scene.pass(10);
      await stopped;
    },
    roles: [...LED, 'stepping-down', 'follower', 'stopped'],
  },
  {
    name: 'stopping on the news of a refusal does not wait for the next try',
    from: 'nothing',
    run: async (scene) => {
      scene.a.engine.driver.next('acquire', { reject: new LockConfigError('NOPERM') });
      scene.a.leader.events$.subscribe(() => void scene.a.leader.stop());
      await scene.a.start();
      await scene.pass(10);
    },
    roles: ['follower', 'candidate', 'stopped'],
  },
  {
    name: 'stopping from inside leader work waits for it, but does not make it wait for itself',
    run: async (scene) => {
      const order: string[] = [];
      const work = scene.a.leader.runAsLeader(async () => {
        await scene.a.leader.stop();
        order.push(scene.a.leader.state.role);
      });
      await work;
      await scene.pass(10);
      expect([...order, scene.a.leader.state.role]).toEqual(['stepping-down', 'stopped']);
      leadsNow(scene.b);
    },
    roles: [...LED, 'stepping-down', 'stopped'],
    check: ({ a }) => expect(a.problems).toEqual([]),
  },
];

// Rule S9 of docs/internals/safety.md.
describe('in an election', () => {
  for (const { name, settings, from, run, roles, check } of transitions) {
    it(name, async () => {
      const scene = new Scene(settings);
      if (from !== 'nothing') await scene.start();
      await run(scene);
      expect(scene.a.roles).toEqual(roles);
      check?.(scene);
    });
  }

  it('two applications of one process lead in turn', async () => {
    const scene = await new Scene().start();
    for (let round = 0; round < 6; round++) {
      await (scene.a.leader.isLeader() ? scene.a : scene.b).leader.resign();
      await scene.pass(2500);
    }
    const terms = [...scene.a.eventsOf('elected'), ...scene.b.eventsOf('elected')].map(({ term }) => term);
    expect(terms).toHaveLength(7);
    expect(new Set(terms).size).toBe(7);
  });

  it('a scene notices two leaders', async () => {
    const scene = await new Scene().start();
    Object.defineProperty(scene.b.leader, 'isLeader', { value: () => true });
    await expect(scene.pass(1)).rejects.toThrow('Two leaders at 11 ms.');
  });
});

describe('an instance whose terms end quickly', () => {
  async function flap(scene: Scene): Promise<number> {
    const { clock } = scene.a.engine;
    scene.a.cutOff();
    await scene.pass(10_100);
    scene.a.reconnect();
    const from = clock.now();
    while (!scene.a.leader.isLeader()) await scene.pass(25);
    return clock.now() - from;
  }

  it('stays out for longer and longer, at most a minute, until a term was stable', async () => {
    const scene = new Scene();
    await scene.a.start();
    await scene.pass(100);
    const rests: number[] = [];
    for (let round = 0; round < 9; round++) rests.push(await flap(scene));
    // The lease of the earlier term, which could not be given back, runs out after 5 s.
    expect(rests[0]).toBeLessThan(6000);
    expect(Math.max(...rests)).toBeGreaterThan(40_000);
    expect(Math.max(...rests)).toBeLessThanOrEqual(60_000);
    expect(scene.a.leader.isLeader()).toBe(true);
    await scene.pass(60_000);
    expect(await flap(scene)).toBeLessThan(6000);
  });

  it('follows meanwhile, and comes back at once when it is called to campaign', async () => {
    const scene = new Scene();
    await scene.a.start();
    await scene.pass(100);
    for (let round = 0; round < 5; round++) await flap(scene);
    scene.a.cutOff();
    await scene.pass(10_100);
    scene.a.reconnect();
    await scene.b.start();
    await scene.pass(8000);
    expect(scene.a.leader.state).toMatchObject({ role: 'follower', leader: { id: 'b' } });
    await scene.a.leader.campaign();
    await scene.pass(10);
    expect(scene.a.leader.state.role).toBe('candidate');
  });

  it('is not kept out because it resigned often', async () => {
    const scene = new Scene();
    await scene.a.start();
    for (let round = 0; round < 8; round++) {
      await scene.pass(2100);
      leadsNow(scene.a);
      await scene.a.leader.resign();
    }
  });
});
