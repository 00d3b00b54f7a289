import { LockConfigError, type LockDriver, LockNotAcquiredError } from 'nestjs-dist-lock';
import { driverContract, ManualClock } from 'nestjs-dist-lock/testing';
import { beforeEach, describe, expect, it } from 'vitest';
import { MemoryDriver } from '../../../lib/drivers/memory/memory.driver.js';
import { driverProblems } from '../../../lib/locks/driver-problems.js';
import { LockManager } from '../../../lib/locks/lock-manager.js';
import { Engine, outcome, request } from '../../support/engine/engine.js';

const granted = { status: 'granted', fencingToken: 5, tokens: 1, ttl: 3000, waiters: 0 };
const record = { holder: 'h', instance: 'b', fencingToken: 5, since: 1, remaining: 100, metadata: {}, waiters: 0 };

const WRONG_TOKENS = [0, -3, 1.5, null, undefined, NaN, Infinity, 2 ** 53, '5', {}];
const WRONG_COUNTS = [-1, 1.5, null, undefined, NaN, '1'];

const wrongAnswers: readonly (readonly [unknown, RegExp])[] = [
  [undefined, /acquire\(\) answered undefined/],
  [null, /acquire\(\) answered null/],
  ['granted', /acquire\(\) answered "granted"/],
  [{ ...granted, status: 'ok' }, /status: "ok"/],
  [{}, /status: undefined/],
  ...WRONG_TOKENS.map((fencingToken) => [{ ...granted, fencingToken }, /fencingToken: /] as const),
  ...[...WRONG_COUNTS, 0, 2 ** 53].map((tokens) => [{ ...granted, tokens }, /tokens: /] as const),
  [{ ...granted, fencingToken: 2 ** 53 - 2, tokens: 3 }, /tokens: 3/],
  ...[0, -1, NaN, Infinity, 3001, null, undefined, '3000'].map((ttl) => [{ ...granted, ttl }, /ttl: /] as const),
  ...WRONG_COUNTS.map((waiters) => [{ ...granted, waiters }, /waiters: /] as const),
  [{ status: 'refused' }, /record: undefined/],
  [{ status: 'queued', record: 5 }, /record: 5/],
  ...WRONG_TOKENS.map(
    (fencingToken) => [{ status: 'queued', record: { ...record, fencingToken } }, /record: fencingToken: /] as const,
  ),
  [{ status: 'refused', record: { ...record, holder: undefined } }, /record: holder: undefined/],
  [{ status: 'refused', record: { ...record, instance: 5 } }, /record: instance: 5/],
  [{ status: 'refused', record: { ...record, remaining: '100' } }, /record: remaining: "100"/],
  [{ status: 'refused', record: { ...record, metadata: null } }, /record: metadata: null/],
  [{ status: 'refused', record: { ...record, waiters: undefined } }, /record: waiters: undefined/],
  [{ status: 'refused', record: { ...record, since: NaN } }, /record: since: NaN/],
];

function managerOver(driver: LockDriver, warnings: string[] = []): LockManager {
  return new LockManager({
    driver,
    instance: 'a',
    clock: new ManualClock(),
    random: () => 0.5,
    emit: () => undefined,
    onStore: (event) => event.type === 'warning' && warnings.push(event.message),
  });
}

describe('an answer that does not fit the port', () => {
  let engine: Engine;
  let store: MemoryDriver;
  beforeEach(() => {
    const clock = new ManualClock();
    store = new MemoryDriver({ clock });
    engine = new Engine(clock, store);
  });

  it.each(wrongAnswers)(
    'of acquire(): %j is refused, and what it may have granted is given back',
    async (answer, text) => {
      store.acquire = () => Promise.resolve(answer as never);
      const acquired = outcome(engine.manager.acquire(request()));
      await engine.clock.advance(0);
      expect(acquired.error).toBeInstanceOf(LockConfigError);
      expect((acquired.error as Error).message).toMatch(/^Driver "faulty": acquire\(\) answered /);
      expect((acquired.error as Error).message).toMatch(text);
      expect(engine.driver.callsOf('cancel')).toHaveLength(1);
    },
  );

  it.each([
    [undefined, /renew\(\) answered undefined/],
    [[], /0 outcomes for 1 leases/],
    [[{ waiters: 0 }, { waiters: 0 }], /2 outcomes for 1 leases/],
    [['queued'], /an outcome of "queued"/],
    [[null], /an outcome of null/],
    [[{}], /an outcome of an object/],
    [[{ waiters: -1 }], /an outcome of an object/],
    [[true], /an outcome of true/],
  ])('of renew(): %j counts as none: the lock is at risk, and lost in time', async (outcomes, text) => {
    const lock = await engine.manager.acquire(request());
    store.renew = () => Promise.resolve(outcomes as never);
    await engine.clock.advance(1100);
    const risk = engine.events.find(({ type }) => type === 'at-risk');
    expect((risk as { cause?: Error }).cause?.message).toMatch(text);
    await engine.clock.advance(2000);
    expect(lock.signal.aborted).toBe(true);
  });

  it.each([
    [undefined, /keepPlaces\(\) answered undefined/],
    [[], /0 outcomes for 1 leases/],
    [['queued'], /an outcome of "queued"/],
    [[{ remaining: '5' }], /an outcome of an object/],
    [[{ remaining: 5, record: null }], /an outcome of an object/],
    [[{ remaining: 5, record: { ...record, fencingToken: 1.5 } }], /an outcome of an object/],
  ])('of keepPlaces(): %j counts as none: the waiter goes on, and is told why it waited', async (outcomes, text) => {
    const peer = new Engine(engine.clock, store, 'b');
    await peer.manager.acquire(request({ ttl: 60_000 }));
    const answer = store.keepPlaces.bind(store);
    store.keepPlaces = () => Promise.resolve(outcomes as never);
    const waiting = outcome(engine.manager.acquire(request({ limit: { wait: 3000 } })));
    await engine.clock.advance(3000);
    expect((waiting.error as Error).message).toMatch(text);

    const patient = outcome(engine.manager.acquire(request({ limit: { wait: 6000 } })));
    await engine.clock.advance(1000);
    store.keepPlaces = answer;
    await engine.clock.advance(5000);
    expect(patient.error).toBeInstanceOf(LockNotAcquiredError);
  });

  it.each([0, { fencingToken: 0, tokens: 1 }, { fencingToken: 7, tokens: 0 }, { fencingToken: 7 }, undefined])(
    'of reserve(): %j passes no lease on',
    async (block) => {
      const mint = store.acquire.bind(store);
      store.acquire = async (...args) => {
        const answer = await mint(...args);
        return answer.status === 'granted' ? { ...answer, tokens: 1 } : answer;
      };
      store.reserve = () => Promise.resolve(block as never);
      const first = await engine.manager.acquire(request());
      const second = outcome(engine.manager.acquire(request()));
      await first.release();
      await engine.clock.advance(0);
      expect(second.value).toMatchObject({ held: true });
      expect(engine.driver.callsOf('acquire')).toHaveLength(2);
    },
  );

  it.each([5, undefined, { ...record, holder: 5 }, { ...record, fencingToken: 2 ** 53 }])(
    'of inspect(): %j is refused',
    async (answer) => {
      store.inspect = () => Promise.resolve(answer as never);
      await expect(engine.manager.inspect('test:l:k')).rejects.toThrow(/^Driver "faulty": inspect\(\) answered /);
    },
  );

  it.each([
    undefined,
    null,
    {},
    { type: 'unknown' },
    { type: 'freed' },
    { type: 'down' },
    { type: 'warning' },
    { type: 'granted', key: 'test:l:k', holder: 'h', ...granted, fencingToken: 1.5 },
  ])('said by itself: %j is ignored, and an operator is told once', async (event) => {
    const driver = new MemoryDriver();
    const connect = driver.connect.bind(driver);
    let say!: (event: unknown) => void;
    driver.connect = (listener) => {
      say = listener as typeof say;
      return connect(listener);
    };
    const warnings: string[] = [];
    await managerOver(driver, warnings).connect();
    say(event);
    say(event);
    expect(warnings).toEqual([expect.stringMatching(/^Driver "memory": an event answered /)]);
  });

  it('is no answer but an exception: it rejects, as any failure does', async () => {
    store.acquire = () => {
      throw new TypeError('raw');
    };
    const acquired = outcome(engine.manager.acquire(request({ limit: { attempts: 1, retryDelay: 1 } })));
    await engine.clock.advance(0);
    expect((acquired.error as Error).message).toMatch(/^Lock "k": faulty did not answer .*raw$/);
  });

  it('fails the published contract', async () => {
    for (const wrong of [{ fencingToken: 0 }, { tokens: 0 }, { ttl: 1 }, { waiters: -1 }]) {
      const create = (): LockDriver => {
        const driver = new MemoryDriver();
        const acquire = driver.acquire.bind(driver);
        driver.acquire = async (...args) => ({ ...(await acquire(...args)), ...wrong });
        return driver;
      };
      const [first] = driverContract({ create });
      await expect(first!.run()).rejects.toThrow();
    }
  });
});

describe('a driver at start', () => {
  class Complete extends MemoryDriver {}
  const without = (...names: string[]): LockDriver => {
    const driver = new Complete() as unknown as Record<string, unknown>;
    for (const name of names) driver[name] = undefined;
    return driver as unknown as LockDriver;
  };
  const withCapabilities = (change: object): LockDriver =>
    Object.assign(new Complete(), { capabilities: { ...new Complete().capabilities, ...change } });

  it('is complete', () => {
    expect(driverProblems(new Complete())).toEqual([]);
    expect(driverProblems(new MemoryDriver())).toEqual([]);
  });

  it.each(['connect', 'acquire', 'cancel', 'renew', 'release', 'inspect', 'close'])('lacks %s()', (name) => {
    expect(driverProblems(without(name))).toEqual([`Complete has no ${name}().`]);
  });

  it.each([
    [undefined, 'expected a driver, such as new RedisDriver({ url }).'],
    [null, 'expected a driver, such as new RedisDriver({ url }).'],
    ['redis://localhost', 'expected a driver, such as new RedisDriver({ url }).'],
    [{}, 'expected a driver, such as new RedisDriver({ url }).'],
    [without('name'), 'Complete has no name.'],
    [without('capabilities'), 'Complete has no capabilities.'],
    [Object.assign(new Complete(), { reserve: 5 }), 'Complete has no reserve().'],
    [Object.assign(new Complete(), { renewalGroup: true }), 'Complete has no renewalGroup().'],
    [withCapabilities({ scope: 'world' }), "capabilities.scope: expected 'process' or 'server'."],
    [withCapabilities({ queue: undefined }), 'capabilities.queue: expected a boolean.'],
    [withCapabilities({ push: 1 }), 'capabilities.push: expected a boolean.'],
    [withCapabilities({ minTtl: '1s' }), 'capabilities.minTtl: expected milliseconds.'],
    [withCapabilities({ maxTtl: NaN }), 'capabilities.maxTtl: expected milliseconds, or nothing.'],
    [Object.assign(new Complete(), { facts: { ...aFactStore(), watch: undefined } }), 'Complete has no facts.watch().'],
  ])('%#: is told what is wrong', (driver, problem) => {
    expect(driverProblems(driver)).toEqual([problem]);
  });
});

function aFactStore(): Record<string, () => void> {
  return Object.fromEntries(['put', 'remove', 'list', 'watch', 'advance'].map((name) => [name, () => undefined]));
}
