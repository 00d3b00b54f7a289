import {
  DriverUnavailableError,
  LockConfigError,
  LockLostError,
  LockNotAcquiredError,
  NestedLockError,
  TooManyWaitingError,
} from 'nestjs-dist-lock';
import { ManualClock } from 'nestjs-dist-lock/testing';
import { beforeEach, describe, expect, it } from 'vitest';
import { MemoryDriver } from '../../../lib/drivers/memory/memory.driver.js';
import { CallSite } from '../../../lib/locks/call-site.js';
import type { AcquireRequest } from '../../../lib/locks/lock-request.js';
import { Candidate } from '../../support/engine/candidate.js';
import { Engine, outcome, request } from '../../support/engine/engine.js';

const once = { limit: { attempts: 1, retryDelay: 1 } };
const EPOCH = 1_700_000_000_000;
const SINCE = new Date(EPOCH).toISOString();

async function errorOf(engine: Engine, promise: Promise<unknown>, after = 0): Promise<Error> {
  const state = outcome(promise);
  await engine.clock.advance(after);
  expect(state.error).toBeInstanceOf(Error);
  return state.error as Error;
}

describe('an error says who holds the lock, since when, and for how long', () => {
  let engine: Engine;
  beforeEach(() => {
    engine = new Engine();
  });

  it('that another instance holds', async () => {
    await engine.peer().manager.acquire(request({ ttl: 60_000 }));
    const error = await errorOf(engine, engine.manager.acquire(request(once)));
    expect(error).toBeInstanceOf(LockNotAcquiredError);
    expect(error).toMatchObject({ heldBy: 'b', heldHere: false, remaining: 60_000 });
    expect(error.message).toMatch(/^Lock "k" is held by instance b.*lasts for 60000 ms more.*; gave up after 0 ms\.$/);
  });

  it('that another instance holds, where the store says since when', async () => {
    const { store } = engine;
    await engine.peer().manager.acquire(request());
    const acquire = store.acquire.bind(store);
    store.acquire = async (...args) => {
      const answer = await acquire(...args);
      return answer.status === 'granted' ? answer : { ...answer, record: { ...answer.record!, since: EPOCH } };
    };
    const error = await errorOf(engine, engine.manager.acquire(request(once)));
    expect(error).toMatchObject({ since: EPOCH });
    expect(error.message).toContain(`is held by instance b since ${SINCE}`);
  });

  it('that this very instance holds, and where it was acquired', async () => {
    function here(): Promise<unknown> {
      return engine.manager.acquire(request({ callSite: new CallSite(here) }));
    }
    await here();
    await engine.clock.advance(1000);
    const error = await errorOf(engine, engine.manager.acquire(request({ limit: { wait: 500 } })), 500);
    expect(error).toMatchObject({ heldBy: 'a', heldHere: true, since: EPOCH });
    expect((error as LockNotAcquiredError).remaining).toBeGreaterThan(1000);
    expect(error.message).toContain(`is held by this very instance (a) since ${SINCE}`);
    expect((error as LockNotAcquiredError).acquiredAt).toMatch(/^at .*what-callers-are-told\.spec\.ts/);
    expect(error.message).not.toContain('spec.ts');
  });

  it('that is lost, or about to be', async () => {
    const lock = await engine.manager.acquire(request());
    await engine.clock.advance(500);
    expect(() => lock.ensure(2900)).toThrow(
      expect.objectContaining({ reason: 'ending', since: EPOCH, remaining: expect.any(Number) as number }),
    );
    expect(() => lock.ensure(2900)).toThrow(/has less time left than was asked for: \d+ ms\. It was acquired at 2023/);
    engine.driver.unreachable = true;
    await engine.clock.advance(3000);
    const { reason } = lock.signal as { reason: LockLostError };
    expect(reason).toMatchObject({ key: 'k', reason: 'expired', since: EPOCH, remaining: 0 });
    expect(reason.message).toMatch(
      `Lock "k" (fencing token ${lock.fencingToken}) could not be renewed in time. It was acquired at ${SINCE}.`,
    );
  });

  it('that this call chain holds', async () => {
    await engine.manager.withLock(request(), async () => {
      const error = await errorOf(engine, engine.manager.acquire(request()));
      expect(error).toBeInstanceOf(NestedLockError);
      expect(error).toMatchObject({ key: 'k', since: EPOCH, remaining: expect.any(Number) as number });
      expect(error.message).toMatch(`already held by this call chain since ${SINCE}, which would wait for itself.`);
      expect(error.message).toMatch(/reentrant: true.*may name the same key, lock it once/);
    });
  });

  it('that the store could not be asked for', async () => {
    engine.driver.unreachable = true;
    const error = await errorOf(engine, engine.manager.acquire(request({ limit: { wait: 1000 } })), 1000);
    expect(error).toBeInstanceOf(DriverUnavailableError);
    expect(error).toMatchObject({ sent: false, cause: expect.any(DriverUnavailableError) as Error });
    expect(error.message).toBe('Lock "k": could not be acquired within 1000 ms. Not connected.');
  });

  it("is called an election where it is a leader's lease", async () => {
    const candidate = new Candidate(engine, 'a');
    await candidate.start();
    await engine.clock.advance(10);
    candidate.cutOff();
    await engine.clock.advance(20_000);
    const [ended] = candidate.eventsOf('term-ended');
    expect(ended!.reason).toMatch(/^Election "default" \(fencing token \d+\) could not be renewed in time/);
    const leases = engine.events.filter((event) => 'key' in event);
    expect(leases.length).toBeGreaterThan(2);
    for (const event of leases) expect(event).toMatchObject({ key: 'default', election: 'default' });
    await candidate.leader.stop();
  });
});

// Rule S11 of docs/internals/safety.md. The way in which the outer one holds the key, and the way in which the inner one
// asks for it.
describe('a nested acquisition', () => {
  type Way = 'acquire' | 'tryAcquire' | 'withLock';
  const ways: Record<Way, (engine: Engine, asked: AcquireRequest) => Promise<unknown>> = {
    acquire: ({ manager }, asked) => manager.acquire(asked),
    tryAcquire: ({ manager }, asked) => manager.tryAcquire({ ...asked, ...once }),
    withLock: ({ manager }, asked) => manager.withLock(asked, () => 'ran'),
  };
  const inner = Object.keys(ways) as Way[];

  it.each(inner)('inside withLock: %s fails at once, or shares', async (way) => {
    const engine = new Engine();
    await engine.manager.withLock(request(), async () => {
      await Promise.resolve();
      expect(await errorOf(engine, ways[way](engine, request()))).toBeInstanceOf(NestedLockError);
      const shared = await ways[way](engine, request({ reentrant: true }));
      expect(shared).toSatisfy((got) => got === 'ran' || (got as { held: boolean }).held);
    });
    expect(engine.driver.callsOf('acquire')).toHaveLength(1);
  });

  it.each((['acquire', 'tryAcquire'] as const).flatMap((outer) => inner.map((way) => [outer, way] as const)))(
    'inside a bare %s: %s is told, when its time is over, that this very instance holds the lock',
    async (outer, way) => {
      const engine = new Engine();
      await ways[outer](engine, request());
      const asked = outcome(ways[way](engine, request({ limit: { wait: 500 } })));
      await engine.clock.advance(500);
      if (way === 'tryAcquire') expect(asked.value).toBeNull();
      else expect(asked.error).toMatchObject({ code: 'LOCK_NOT_ACQUIRED', heldHere: true });
    },
  );

  it('is none between calls of their own, which wait for each other', async () => {
    const engine = new Engine();
    const order: number[] = [];
    const call = async (id: number): Promise<void> => {
      const lock = await engine.manager.acquire(request());
      order.push(id);
      engine.clock.after(100, () => void lock.release());
    };
    await Promise.all([call(1), call(2), call(3), engine.clock.advance(1000)]);
    expect(order).toEqual([1, 2, 3]);
  });
});

describe('a store that is down', () => {
  let engine: Engine;
  const say = (type: 'up' | 'down'): void => {
    for (const listener of listeners) listener(type === 'up' ? { type } : { type, cause: new Error('gone') });
  };
  let listeners: ((event: { type: 'up' } | { type: 'down'; cause: Error }) => void)[];

  beforeEach(async () => {
    const clock = new ManualClock();
    const store = new MemoryDriver({ clock });
    const connect = store.connect.bind(store);
    listeners = [];
    store.connect = (listener) => {
      listeners.push(listener);
      return connect(listener);
    };
    engine = new Engine(clock, store);
    await engine.manager.connect();
  });

  /** Down for so many milliseconds before the call; undefined: nobody said so. */
  it.each<[string, number | undefined, Partial<AcquireRequest>, number]>([
    ['is waited for by default', 1000, {}, 10_000],
    ['is waited for by default although nobody said that it is down', undefined, {}, 10_000],
    ['is not waited for after it was down for longer than that', 10_001, {}, 0],
    ['is waited for as long as it was down just so long', 10_000, {}, 10_000],
    ['is not waited for by those who say so', 1, { unavailable: 'reject' }, 0],
    [
      'is not waited for by those who say so, however long they wait for the lock',
      1,
      { unavailable: 'reject', limit: { wait: Infinity } },
      0,
    ],
    ['is tried once by a single try', 600, once, 0],
    ['is tried twice by a single try where it may be back at once', undefined, once, 500],
    [
      'is tried once by those of several tries who say so',
      1,
      { unavailable: 'reject', limit: { attempts: 5, retryDelay: 50 } },
      0,
    ],
  ])('%s', async (_, downFor, change, waits) => {
    engine.driver.unreachable = true;
    if (downFor !== undefined) {
      say('down');
      await engine.clock.advance(downFor);
    }
    const asked = outcome(engine.manager.acquire(request(change)));
    await engine.clock.advance(Math.max(0, waits - 1));
    expect(asked.settled).toBe(waits === 0);
    if (waits > 0) await engine.clock.advance(1);
    expect(asked.error).toBeInstanceOf(DriverUnavailableError);
    const { message } = asked.error as Error;
    if (downFor !== undefined) expect(message).toContain(`The store has been unreachable for ${downFor + waits} ms.`);
  });

  it('is down since it was said first, and no longer once it is there again', async () => {
    engine.driver.unreachable = true;
    for (let times = 0; times < 2; times++) {
      say('down');
      await engine.clock.advance(6000);
    }
    const asked = outcome(engine.manager.acquire(request()));
    await engine.clock.advance(0);
    expect(asked.error).toBeInstanceOf(DriverUnavailableError);
    say('up');
    const again = outcome(engine.manager.acquire(request({ unavailable: 'reject' })));
    await engine.clock.advance(400);
    expect(again.settled).toBe(false);
  });

  it('in the middle of a wait ends that of those who do not wait for it, once it is no blip', async () => {
    await engine.peer().manager.acquire(request({ ttl: 60_000 }));
    const waiting = outcome(
      engine.manager.acquire(request({ unavailable: 'reject', ttl: 600, limit: { wait: Infinity } })),
    );
    await engine.clock.advance(1000);
    expect(waiting.settled).toBe(false);
    engine.driver.unreachable = true;
    say('down');
    await engine.clock.advance(400);
    expect(waiting.settled).toBe(false);
    await engine.clock.advance(1000);
    expect(waiting.error).toBeInstanceOf(DriverUnavailableError);
  });

  it.each(['acquire', 'tryAcquire'] as const)('only for a blip costs %s with a single try nothing', async (way) => {
    engine.driver.next('acquire', { reject: new DriverUnavailableError('The socket died.', { sent: false }) });
    const asked = outcome(engine.manager[way](request(once)));
    await engine.clock.advance(100);
    expect(asked.settled).toBe(false);
    say('up');
    await engine.clock.advance(0);
    expect(asked.value).toMatchObject({ held: true });
    expect(engine.driver.callsOf('acquire')).toHaveLength(2);
  });

  it('is not tried again where the outcome is unknown, or the caller went away', async () => {
    engine.driver.next('acquire', { reject: new DriverUnavailableError('Timed out.', { sent: true }) });
    expect(await errorOf(engine, engine.manager.acquire(request(once)))).toBeInstanceOf(DriverUnavailableError);
    engine.driver.unreachable = true;
    const controller = new AbortController();
    const asked = outcome(engine.manager.acquire(request({ ...once, signal: controller.signal })));
    await engine.clock.advance(100);
    controller.abort(new Error('gone home'));
    await engine.clock.advance(0);
    expect(asked.error).toMatchObject({ message: 'gone home' });
  });
});

describe('callers that wait', () => {
  const engineWith = (inAll: number, perKey: number): Engine =>
    new Engine(new ManualClock(), undefined, 'a', { limits: { inAll, perKey } });
  const ask = (engine: Engine, key: string) =>
    outcome(engine.manager.acquire(request({ key, storeKey: `test:l:${key}` })));

  it.each([
    ['in all', engineWith(3, 10), 'lock.maxWaiting allows', ['p', 'q', 'r', 's']],
    ['for one key', engineWith(10, 3), 'lock.maxWaitingPerKey allows', ['p', 'p', 'p', 'p']],
  ] as const)('are so many at most, %s', async (_, engine, option, keys) => {
    const held = [...new Set(keys)].map((key) => ask(engine, key));
    await engine.clock.advance(0);
    const waiting = keys.map((key) => ask(engine, key));
    await engine.clock.advance(10);
    const last = waiting.pop()!;
    expect(last.error).toBeInstanceOf(TooManyWaitingError);
    expect(last.error).toMatchObject({ statusCode: 503, code: 'LOCK_TOO_MANY_WAITING', waiting: 3, retryAfter: 1000 });
    expect((last.error as Error).message).toContain(option);
    expect(waiting.every(({ settled }) => !settled)).toBe(true);
    for (const { value } of held) await value!.release();
    await engine.clock.advance(10);
    for (const { value } of waiting) void value?.release();
    await engine.clock.advance(10);
    // Those that have gone make room.
    expect(ask(engine, 'z').error).toBeUndefined();
  });

  it('do not count where nobody awaits them, nor those that get what they ask for', async () => {
    const engine = engineWith(1, 1);
    const [leader, follower] = [new Candidate(engine.peer('b'), 'b'), new Candidate(engine, 'a')];
    await leader.start();
    await engine.clock.advance(10);
    await follower.start();
    await engine.clock.advance(10);
    expect(follower.leader.state.role).toBe('candidate');
    const free = Array.from({ length: 10 }, (_, index) => ask(engine, `free ${index}`));
    await engine.clock.advance(0);
    expect(free.every(({ value }) => value?.held)).toBe(true);
    const waiting = ask(engine, 'free 1');
    await engine.clock.advance(10);
    expect(waiting.settled).toBe(false);
  });
});

describe('a candidate that the store does not even refuse', () => {
  it.each([
    ['out of memory', new DriverUnavailableError('Redis at x: OOM — raise maxmemory.', { sent: false }), /OOM/],
    ['an unknown outcome', new DriverUnavailableError('Timed out.', { sent: true }), /Timed out/],
    ['a driver that throws', new TypeError('x is not a function'), /x is not a function/],
    ['a missing permission', new LockConfigError('NOPERM: give the user +eval.'), /NOPERM/],
  ])('says why within ten seconds, once: %s', async (_, cause, text) => {
    const engine = new Engine();
    const candidate = new Candidate(engine, 'a');
    engine.driver.next('acquire', ...Array.from({ length: 500 }, () => ({ reject: cause })));
    await candidate.start();
    await engine.clock.advance(10_000);
    expect(candidate.leader.state).toMatchObject({ role: 'candidate', reason: expect.stringMatching(text) as string });
    expect(candidate.states.at(-1)).toMatchObject({ reason: expect.stringMatching(text) as string });
    expect(candidate.eventsOf('campaign-failed')[0]).toMatchObject({ cause });
    expect(candidate.problems).toEqual([expect.stringMatching(text)]);
    expect(candidate.problems[0]).toMatch(/^Campaigning in election "default" failed; trying again until it works: /);
    await engine.clock.advance(60_000);
    expect(candidate.problems).toHaveLength(1);
  });

  it('no longer says so once it is answered, and again when it fails again', async () => {
    const engine = new Engine();
    const leader = new Candidate(engine.peer(), 'b');
    const candidate = new Candidate(engine, 'a');
    await leader.start();
    await engine.clock.advance(10);
    await candidate.start();
    for (let round = 1; round <= 2; round++) {
      engine.driver.unreachable = true;
      await engine.clock.advance(10_000);
      expect(candidate.leader.state.reason).toMatch(/Not connected/);
      expect(candidate.problems).toHaveLength(round);
      engine.driver.unreachable = false;
      await engine.clock.advance(10_000);
      expect(candidate.leader.state).toMatchObject({ role: 'candidate', leader: { id: 'b' } });
      expect(candidate.leader.state.reason).toBeUndefined();
    }
  });
});
