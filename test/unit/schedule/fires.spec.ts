import { DriverUnavailableError, type FactStore, type LockEvent } from 'nestjs-dist-lock';
import { MemoryDriver } from 'nestjs-dist-lock/memory';
import { ManualClock } from 'nestjs-dist-lock/testing';
import { beforeEach, describe, expect, it } from 'vitest';
import type { Clock } from '../../../lib/core/clock.js';
import { Fires, type Job } from '../../../lib/schedule/fires.js';
import { outcome } from '../../support/engine/engine.js';
import { Step } from '../../support/nest/step.js';

const MINUTE = 60_000;
const ALIVE_FOR = 3000;
const EPOCH = Math.ceil(1_700_000_000_000 / MINUTE) * MINUTE;

const job: Job = { id: 'job', tolerance: 1000, next: (after) => (Math.floor(after / MINUTE) + 1) * MINUTE };

let clock: ManualClock;
let facts: FactStore;
let ran: string[];

beforeEach(async () => {
  clock = new ManualClock(EPOCH);
  const driver = new MemoryDriver({ clock });
  await driver.connect(() => undefined);
  facts = driver.facts;
  ran = [];
});

/** One instance, whose wall clock may differ. */
class Instance {
  readonly events: LockEvent[] = [];
  readonly fires: Fires;
  /** Whether calls of the store reach it. */
  reachable = true;
  /** Whether their answers come back. */
  answers = true;
  dead = false;

  constructor(
    readonly id: string,
    skew = 0,
  ) {
    // A dead process has no timers.
    const own: Clock = {
      now: () => clock.now(),
      wall: () => clock.wall() + skew,
      after: (milliseconds, task) => clock.after(milliseconds, () => void (this.dead || task())),
    };
    const call = async <T>(run: () => Promise<T>): Promise<T> => {
      if (this.dead) return new Promise(() => undefined);
      if (!this.reachable) throw new DriverUnavailableError('down', { sent: false });
      const answer = await run();
      if (!this.answers) throw new DriverUnavailableError('no answer', { sent: true });
      return answer;
    };
    this.fires = new Fires({
      facts: {
        put: (...args) => call(() => facts.put(...args)),
        remove: (...args) => call(() => facts.remove(...args)),
        list: (...args) => call(() => facts.list(...args)),
        advance: (...args) => call(() => facts.advance(...args)),
        watch: (...args) => facts.watch(...args),
      },
      scope: 'test:f:',
      instance: id,
      aliveFor: ALIVE_FOR,
      clock: own,
      random: () => 0.5,
      emit: (event) => this.events.push(event),
    });
  }

  tick(work: () => unknown = () => undefined): Promise<unknown> {
    return this.fires.tick(job, () => {
      ran.push(this.id);
      return work();
    });
  }

  eventsOf(type: LockEvent['type']): LockEvent[] {
    return this.events.filter((event) => event.type === type);
  }
}

describe('a fire', () => {
  it('runs on the instance that is first, whichever that is', async () => {
    const [a, b, c] = [new Instance('a'), new Instance('b'), new Instance('c')];
    for (const order of [
      [a, b, c],
      [c, b, a],
      [b, a, c],
    ]) {
      await Promise.all(order.map((instance) => instance.tick()));
      await clock.advance(MINUTE);
    }
    expect(ran).toEqual(['a', 'c', 'b']);
    expect(a.events.map(({ type }) => type)).toEqual(['fire-claimed', 'fire-taken', 'fire-taken']);
    expect(a.events[0]).toEqual({ type: 'fire-claimed', job: 'job', instant: EPOCH });
  });

  it('passes on what the work returns and throws; a run that failed is done, not abandoned', async () => {
    const [a, b] = [new Instance('a'), new Instance('b')];
    expect(await a.tick(() => 'result')).toBe('result');
    await clock.advance(MINUTE);
    await expect(
      a.tick(() => {
        throw new TypeError('broken');
      }),
    ).rejects.toThrow(new TypeError('broken'));
    expect(await b.tick()).toBeUndefined();
    await clock.advance(10 * ALIVE_FOR);
    expect(b.eventsOf('fire-abandoned')).toEqual([]);
  });

  it.each([-900, -400, 0, 400, 900])('runs once with clocks that differ by %d ms', async (skew) => {
    const [a, b] = [new Instance('a'), new Instance('b', skew)];
    for (let minute = 0; minute < 5; minute++) {
      // Each fires when its own clock says so.
      const [first, second] = skew > 0 ? [b, a] : [a, b];
      await clock.advance(MINUTE - clock.now() - Math.max(0, skew) + minute * MINUTE);
      await first.tick();
      await clock.advance(Math.abs(skew));
      await second.tick();
    }
    expect(ran).toHaveLength(5);
  });

  it('is never claimed twice by an instance whose clock was set back', async () => {
    const a = new Instance('a');
    await a.tick();
    expect(await a.tick(() => 'again')).toBeUndefined();
    expect(ran).toEqual(['a']);
  });

  it('runs neither late nor twice where an instance comes after a later fire', async () => {
    const [a, late] = [new Instance('a'), new Instance('late', -2 * MINUTE)];
    await a.tick();
    await late.tick();
    await clock.advance(10 * ALIVE_FOR);
    expect(ran).toEqual(['a']);
    expect(late.eventsOf('fire-abandoned')).toEqual([]);
  });

  it('is claimed when the store answers again, by the attempt that it did not answer', async () => {
    const a = new Instance('a');
    a.answers = false;
    const ticked = outcome(a.tick(() => 'result'));
    await clock.advance(5000);
    expect(ticked.settled).toBe(false);
    a.answers = true;
    await clock.advance(5000);
    expect(ticked).toMatchObject({ settled: true, value: 'result' });
    expect(ran).toEqual(['a']);
  });

  it('does not run where the store could not be asked for half the interval', async () => {
    const a = new Instance('a');
    a.reachable = false;
    const ticked = outcome(a.tick());
    await clock.advance(MINUTE / 2 + 5000);
    expect(ticked.error).toBeInstanceOf(DriverUnavailableError);
    expect(ran).toEqual([]);
  });

  it('control: without a claim, or with one for the time of the tick, it runs on every instance', async () => {
    const claims: number[] = [];
    for (const skew of [0, 3]) {
      const instant = clock.wall() + skew;
      if ((await facts.advance('test:f:', 'control', instant, `i${skew}`, MINUTE)) === 'mine') claims.push(instant);
    }
    expect(claims).toHaveLength(2);
  });
});

describe('a claimant that dies', () => {
  it('leaves a fire that nobody runs, which one of the others reports', async () => {
    const [a, b, c] = [new Instance('a'), new Instance('b'), new Instance('c')];
    const step = new Step();
    void a.tick(() => step.run());
    await clock.advance(100);
    await Promise.all([b.tick(), c.tick()]);
    await clock.advance(4 * ALIVE_FOR);
    expect([b, c].flatMap((instance) => instance.eventsOf('fire-abandoned'))).toEqual([]);
    a.dead = true;
    await clock.advance(4 * ALIVE_FOR);
    expect(ran).toEqual(['a']);
    expect([b, c].flatMap((instance) => instance.eventsOf('fire-abandoned'))).toEqual([
      { type: 'fire-abandoned', job: 'job', instant: EPOCH, by: 'a' },
    ]);
  });

  it('is noticed, too, where it died before it could say that it had begun', async () => {
    const [a, b] = [new Instance('a'), new Instance('b')];
    const claiming = a.tick();
    await facts.advance('test:f:', 'job', EPOCH, 'a', MINUTE);
    a.dead = true;
    void claiming;
    await b.tick();
    await clock.advance(2 * ALIVE_FOR);
    expect(b.eventsOf('fire-abandoned')).toHaveLength(1);
  });

  it('is reported by the next start, where nobody was there to see it', async () => {
    const a = new Instance('a');
    void a.tick(() => new Step().run());
    await clock.advance(100);
    a.dead = true;
    await clock.advance(MINUTE);
    const b = new Instance('b');
    await b.fires.checkLast(job);
    await clock.advance(2 * ALIVE_FOR);
    expect(b.eventsOf('fire-abandoned')).toEqual([{ type: 'fire-abandoned', job: 'job', instant: EPOCH, by: 'a' }]);
  });

  it('is reported once, however many starts come later, also of an instance that keeps its id', async () => {
    const a = new Instance('a');
    void a.tick(() => new Step().run());
    await clock.advance(100);
    a.dead = true;
    const starts: Instance[] = [];
    for (const [id, pause] of [
      ['b', 0],
      ['b', 2 * ALIVE_FOR],
      ['c', 20 * ALIVE_FOR],
    ] as const) {
      await clock.advance(pause);
      const started = new Instance(id);
      starts.push(started);
      await started.fires.checkLast(job);
      await clock.advance(2 * ALIVE_FOR);
    }
    expect(starts.map((instance) => instance.eventsOf('fire-abandoned').length)).toEqual([1, 0, 0]);
  });

  it('is reported once by an instance that saw it at a tick and at its start', async () => {
    const [a, b] = [new Instance('a'), new Instance('b')];
    void a.tick(() => new Step().run());
    await clock.advance(100);
    a.dead = true;
    await b.tick();
    await b.fires.checkLast(job);
    await clock.advance(4 * ALIVE_FOR);
    expect(b.eventsOf('fire-abandoned')).toHaveLength(1);
  });

  it('is not one that takes long, or that ended', async () => {
    const [a, b] = [new Instance('a'), new Instance('b')];
    const step = new Step();
    void a.tick(() => step.run());
    await clock.advance(100);
    await b.tick();
    await clock.advance(20 * ALIVE_FOR);
    step.end();
    await clock.advance(20 * ALIVE_FOR);
    expect(b.eventsOf('fire-abandoned')).toEqual([]);
    const c = new Instance('c');
    await c.fires.checkLast(job);
    await clock.advance(20 * ALIVE_FOR);
    expect(c.eventsOf('fire-abandoned')).toEqual([]);
  });
});

describe('a fire that nobody claimed', () => {
  it('is missed, until somebody has run it', async () => {
    const a = new Instance('a');
    await a.tick();
    await clock.advance(3 * MINUTE + 5000);
    expect(await a.fires.isMissed(job)).toBe(true);
    await Promise.all([a.tick(), new Instance('b').tick()]);
    expect(ran).toEqual(['a', 'a']);
    expect(await a.fires.isMissed(job)).toBe(false);
  });

  it('is not missed by a job that is new: it would run at its first start', async () => {
    await clock.advance(5000);
    const [a, b] = [new Instance('a'), new Instance('b')];
    expect([await a.fires.isMissed(job), await b.fires.isMissed(job)]).toEqual([false, false]);
    await clock.advance(MINUTE);
    expect([await a.fires.isMissed(job), await b.fires.isMissed(job)]).toEqual([true, true]);
  });

  it('is not caught up when the next one is due', async () => {
    const a = new Instance('a');
    await a.tick();
    await clock.advance(2 * MINUTE - 500);
    expect(await a.fires.isMissed(job)).toBe(false);
  });
});

describe('the end of an application', () => {
  it('waits for runs, and for the word that they are done', async () => {
    const a = new Instance('a');
    const step = new Step();
    void a.tick(() => step.run());
    await clock.advance(100);
    const closed = outcome(a.fires.close(10_000));
    await clock.advance(1000);
    expect(closed.settled).toBe(false);
    step.end();
    await clock.advance(10);
    expect(closed).toMatchObject({ settled: true, value: true });
    const b = new Instance('b');
    await b.fires.checkLast(job);
    await clock.advance(2 * ALIVE_FOR);
    expect(b.eventsOf('fire-abandoned')).toEqual([]);
  });
});
