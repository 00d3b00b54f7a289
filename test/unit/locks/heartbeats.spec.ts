import { type DriverListener, LockNotAcquiredError, type LockRecord } from 'nestjs-dist-lock';
import { MemoryDriver } from 'nestjs-dist-lock/memory';
import { ManualClock } from 'nestjs-dist-lock/testing';
import { beforeEach, describe, expect, it } from 'vitest';
import type { AcquireRequest } from '../../../lib/locks/lock-request.js';
import { Engine, outcome, request } from '../../support/engine/engine.js';

const ttl = 3000;
const HEARTBEAT = 500;
const forever = { ttl, limit: { wait: Infinity } };

/** A store whose word on the lease in front a test can change, and that can say things by itself. */
class TalkingDriver extends MemoryDriver {
  remaining: ((real: number) => number) | undefined;
  hasLostPlaces = false;
  readonly listeners: DriverListener[] = [];

  override connect(listener: DriverListener): Promise<void> {
    this.listeners.push(listener);
    return super.connect(listener);
  }

  override async acquire(...args: Parameters<MemoryDriver['acquire']>): ReturnType<MemoryDriver['acquire']> {
    const answer = await super.acquire(...args);
    if (!this.remaining || answer.status === 'granted' || !answer.record) return answer;
    return { ...answer, record: { ...answer.record, remaining: this.remaining(answer.record.remaining) } };
  }

  override async keepPlaces(...args: Parameters<MemoryDriver['keepPlaces']>): ReturnType<MemoryDriver['keepPlaces']> {
    const outcomes = await super.keepPlaces(...args);
    const { remaining } = this;
    if (this.hasLostPlaces) return outcomes.map(() => 'ask');
    if (!remaining) return outcomes;
    return outcomes.map((told) =>
      told === 'ask' ? told : Object.assign({}, told, { remaining: remaining(told.remaining) }),
    );
  }

  say(event: Parameters<DriverListener>[0]): void {
    for (const listener of this.listeners) listener(event);
  }
}

// Rules S1 and S10 of docs/internals/safety.md, and the heartbeats of a queue: docs/internals/redis.md.
describe('claims that wait in the queue of a store', () => {
  let clock: ManualClock;
  let store: TalkingDriver;
  let holder: Engine;
  let waiter: Engine;
  beforeEach(() => {
    clock = new ManualClock();
    store = new TalkingDriver({ clock });
    holder = new Engine(clock, store, 'holder');
    waiter = holder.peer('waiter');
  });
  const asks = (): number => waiter.driver.callsOf('acquire').length;
  const claim = (): string => waiter.driver.callsOf('acquire')[0]!.holders[0]!;
  const beats = (): number => waiter.driver.callsOf('keepPlaces').length;
  const keyed = (key: string, change: Partial<AcquireRequest> = {}): AcquireRequest =>
    request({ key, storeKey: `test:l:${key}`, ...forever, ...change });

  it('keep their places together, in a few requests', async () => {
    const keys = Array.from({ length: 1000 }, (_, index) => `k${index}`);
    for (const key of keys) await holder.manager.acquire(keyed(key));
    const waiting: ReturnType<typeof outcome>[] = [];
    for (const key of keys) {
      waiting.push(outcome(waiter.manager.acquire(keyed(key))));
      await clock.advance(1);
    }
    await clock.advance(9000);
    expect(asks()).toBe(1000);
    // Four requests for all of them, 20 times, plus those of the time in which they came.
    expect(beats()).toBeLessThan(4 * 20 * 1.5);
    const last = new Map<string, number>();
    for (const { at, holders } of waiter.driver.callsOf('keepPlaces')) {
      for (const id of holders) {
        expect(at - (last.get(id) ?? at)).toBeLessThanOrEqual(HEARTBEAT);
        last.set(id, at);
      }
    }
    expect(last.size).toBe(1000);
    expect(waiting.some(({ settled }) => settled)).toBe(false);
  });

  it('go by 250 in a request at most, and those of different parts of the store apart', async () => {
    const keys = Array.from({ length: 600 }, (_, index) => `k${index}`);
    for (const key of keys) await holder.manager.acquire(keyed(key));
    for (const key of keys) void waiter.manager.acquire(keyed(key));
    await clock.advance(HEARTBEAT);
    const sizes = (): number[] => waiter.driver.callsOf('keepPlaces').map(({ holders }) => holders.length);
    expect(sizes()).toEqual([250, 250, 100]);
    waiter.driver.renewalGroup = (key) => Number(key.endsWith('0'));
    await clock.advance(HEARTBEAT);
    expect(sizes().slice(3)).toEqual([60, 250, 250, 40]);
  });

  it('are kept by asking again where the driver keeps none, however seldom the caller looks', async () => {
    Object.defineProperty(store, 'keepPlaces', { value: undefined });
    waiter = holder.peer('waiter');
    await holder.manager.acquire(request({ ttl: 60_000 }));
    void waiter.manager.acquire(request({ ...forever, pollEvery: 60_000 }));
    await clock.advance(5 * HEARTBEAT);
    expect(asks()).toBe(6);
  });

  it('are refused, not told that the store does not answer, where it answers again', async () => {
    await holder.manager.acquire(request({ ttl: 60_000 }));
    const waiting = outcome(waiter.manager.acquire(request({ ttl, limit: { wait: 3000 } })));
    waiter.driver.next('keepPlaces', { reject: new Error('refused') });
    await clock.advance(3000);
    expect(waiting.error).toBeInstanceOf(LockNotAcquiredError);
  });

  it('are no longer kept once the caller has gone', async () => {
    await holder.manager.acquire(request({ ttl: 60_000 }));
    const waiting = outcome(waiter.manager.acquire(request({ ttl, limit: { wait: 1900 } })));
    await clock.advance(1900);
    expect(waiting.error).toBeInstanceOf(LockNotAcquiredError);
    const before = beats();
    await clock.advance(10 * HEARTBEAT);
    expect(beats()).toBe(before);
  });

  // The store armed it for four heartbeats, of which the margin is not to be used.
  it.each([
    ['that was answered', { answerAfter: 0 }, 510, 500],
    ['that was answered late, from its sending', { answerAfter: 200 }, 710, 500],
    ['and not that of one which was overtaken', { answerAfter: 700 }, 1210, 1075],
    ['and not that of one which was refused', { reject: new Error('refused') }, 510, 0],
    ['and not that of one which is under way', { answerAfter: 200 }, 600, 0],
  ])('get a lease that counts from the latest request %s', async (_, fault, releasedAt, anchor) => {
    const held = await holder.manager.acquire(request({ ttl: 60_000 }));
    const waiting = outcome(waiter.manager.acquire(request(forever)));
    waiter.driver.next('keepPlaces', fault);
    // It renews at once what counts from long ago.
    waiter.driver.next('renew', { loseRequest: 60_000 });
    await clock.advance(releasedAt);
    await held.release();
    await clock.advance(0);
    expect(waiting.value!.remaining).toBe(anchor + 4 * HEARTBEAT - 22 - releasedAt);
  });

  it('ask nothing while the store does not answer, and have their places when it does again', async () => {
    const held = await holder.manager.acquire(request({ ttl: 60_000 }));
    const waiting = Array.from({ length: 50 }, (_, index) => outcome(waiter.manager.acquire(keyed(`k${index}`))));
    void waiting;
    const wanted = outcome(waiter.manager.acquire(request(forever)));
    await clock.advance(10);
    const before = asks();
    waiter.driver.unreachable = true;
    await clock.advance(60_000 - 10);
    expect(asks()).toBe(before);
    expect(beats()).toBeLessThan(60 * 4);
    waiter.driver.unreachable = false;
    await clock.advance(2 * HEARTBEAT + 1000);
    await held.release();
    await clock.advance(0);
    expect(wanted.value).toMatchObject({ held: true });
  });

  it('say so again at once when a heartbeat is refused, and in time when it is lost', async () => {
    const held = await holder.manager.acquire(request({ ttl: 60_000 }));
    const waiting = outcome(waiter.manager.acquire(request(forever)));
    waiter.driver.next('keepPlaces', { reject: new Error('refused') }, { loseRequest: 60_000 });
    await clock.advance(4 * HEARTBEAT);
    await held.release();
    await clock.advance(0);
    expect(waiting.value).toMatchObject({ held: true });
    expect(asks()).toBe(1);
  });

  it('look at the store at once after a reconnection, in one request', async () => {
    for (const key of ['a', 'b', 'c']) await holder.manager.acquire(keyed(key));
    for (const key of ['a', 'b', 'c']) void waiter.manager.acquire(keyed(key));
    await clock.advance(10);
    const before = [asks(), beats()];
    store.say({ type: 'up' });
    await clock.advance(1);
    expect([asks(), beats()]).toEqual([before[0], before[1]! + 1]);
  });

  it('look at the store at once after a reconnection, though a heartbeat is under way', async () => {
    await holder.manager.acquire(request({ ttl: 60_000 }));
    void waiter.manager.acquire(request(forever));
    waiter.driver.next('keepPlaces', { loseRequest: 60_000 });
    await clock.advance(HEARTBEAT + 100);
    store.say({ type: 'up' });
    await clock.advance(1);
    expect(waiter.driver.callsOf('keepPlaces').map(({ at }) => at)).toEqual([HEARTBEAT, HEARTBEAT + 100]);
  });

  it('ask at once after a reconnection when the store has lost their places', async () => {
    const held = await holder.manager.acquire(request({ ttl: 60_000 }));
    const waiting = outcome(waiter.manager.acquire(request(forever)));
    await clock.advance(10);
    store.hasLostPlaces = true;
    store.say({ type: 'up' });
    await clock.advance(1);
    expect(asks()).toBe(2);
    store.hasLostPlaces = false;
    await held.release();
    await clock.advance(0);
    expect(waiting.value).toMatchObject({ held: true });
  });

  it('follow a holder that died when its lease has run out, and not before', async () => {
    await holder.manager.acquire(request({ ttl: 20_000 }));
    holder.driver.unreachable = true;
    waiter.driver.deaf = true;
    const waiting = outcome(waiter.manager.acquire(request({ ...forever, ttl: 60_000 })));
    await clock.advance(19_990);
    expect(waiting.settled).toBe(false);
    expect(asks()).toBe(1);
    await clock.advance(30);
    expect(waiting.value).toMatchObject({ held: true });
  });

  it('know who has the lease by now', async () => {
    const third = holder.peer('third');
    const refusals: (LockRecord | null)[] = [];
    // Of a grant to somebody else no other instance hears; here all share one store.
    waiter.driver.deaf = true;
    const held = await holder.manager.acquire(request({ ttl: 60_000 }));
    const next = third.manager.acquire(request({ ...forever, ttl: 60_000, metadata: { url: 'there' } }));
    await clock.advance(1);
    const limit = { wait: 5000 };
    const onRefused = (record: LockRecord | null): void => void refusals.push(record);
    const waiting = outcome(waiter.manager.acquire(request({ ttl, limit, onRefused })));
    await clock.advance(100);
    await held.release();
    await next;
    await clock.advance(4900);
    expect(waiting.error).toBeInstanceOf(LockNotAcquiredError);
    expect(waiting.error).toMatchObject({ heldBy: 'third' });
    expect([...new Set(refusals.map((record) => record?.instance))]).toEqual(['holder', 'third']);
    expect(refusals.at(-1)).toMatchObject({ metadata: { url: 'there' } });
    expect(asks()).toBe(1);
  });

  it('take no pushed grant that is not newer than the lease which a heartbeat saw in front', async () => {
    const third = holder.peer('third');
    const held = await holder.manager.acquire(request({ ttl: 60_000 }));
    const next = third.manager.acquire(request({ ...forever, ttl: 60_000 }));
    await clock.advance(1);
    const waiting = outcome(waiter.manager.acquire(request(forever)));
    await clock.advance(1);
    await held.release();
    const { fencingToken } = await next;
    await clock.advance(2 * HEARTBEAT);
    const stale = {
      status: 'granted',
      key: 'test:l:k',
      holder: claim(),
      ttl: 2000,
      waiters: 0,
      tokens: 1,
    } as const;
    store.say({ ...stale, type: 'granted', fencingToken });
    await clock.advance(1);
    expect(waiting.settled).toBe(false);
    // As it would be had it heard of the first lease only.
    store.say({ ...stale, type: 'granted', fencingToken: fencingToken + 1 });
    await clock.advance(1);
    expect(waiting.settled).toBe(true);
  });

  it.each([
    NaN,
    -Infinity,
    -2,
    -1,
    -0.5,
    0,
    Number.MIN_VALUE,
    1,
    9,
    11,
    100,
    Number.MAX_SAFE_INTEGER,
    Number.MAX_VALUE,
    Infinity,
  ])('ask at most ten times a second whatever the store says of the time that remains: %d ms', async (remaining) => {
    for (const isBatched of [true, false]) {
      clock = new ManualClock();
      store = new TalkingDriver({ clock });
      store.remaining = () => remaining;
      if (!isBatched) Object.defineProperty(store, 'keepPlaces', { value: undefined });
      holder = new Engine(clock, store, 'holder');
      waiter = holder.peer('waiter');
      const held = await holder.manager.acquire(request({ ttl: 60_000 }));
      waiter.driver.deaf = true;
      const waiting = outcome(waiter.manager.acquire(request(forever)));
      await clock.advance(10_000);
      expect(waiter.driver.calls.length).toBeLessThanOrEqual(100);
      await held.release();
      await clock.advance(1000);
      expect(waiting.value).toMatchObject({ held: true });
    }
  });
});
