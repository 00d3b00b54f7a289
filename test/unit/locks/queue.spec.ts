import { beforeEach, describe, expect, it } from 'vitest';
import { driftMargin } from '../../../lib/core/validity.js';
import { Engine, outcome, request } from '../../support/engine/engine.js';

const ttl = 3000;
/** Waiters with this TTL ask again every 500 ms; a lease that is passed on is armed for four times that. */
const HEARTBEAT = 500;
const ARMED = 4 * HEARTBEAT;

// Rules S1, S6 and S10 of docs/internals/safety.md, for a store that queues.
describe('a lease that the store passes on', () => {
  let holder: Engine;
  let waiter: Engine;
  beforeEach(() => {
    holder = new Engine();
    waiter = holder.peer('b');
  });
  const advance = (milliseconds: number): Promise<void> => holder.clock.advance(milliseconds);
  const want = { ttl, limit: { wait: Infinity } };

  it('is taken from the message, without another request', async () => {
    const held = await holder.manager.acquire(request({ ttl }));
    const waiting = outcome(waiter.manager.acquire(request(want)));
    await advance(10);
    await held.release();
    await advance(0);
    expect(waiting.value).toMatchObject({ held: true });
    expect(waiting.value!.fencingToken).toBeGreaterThan(held.fencingToken);
    expect(waiter.driver.callsOf('acquire')).toHaveLength(1);
    expect(holder.driver.callsOf('release')).toHaveLength(1);
  });

  it('is valid from the last request that was answered "queued", for what it was armed', async () => {
    const held = await holder.manager.acquire(request({ ttl: 60_000 }));
    const remaining = waiter.manager.acquire(request(want)).then((lock) => lock.remaining);
    await advance(1800);
    expect(waiter.driver.callsOf('acquire')).toHaveLength(1);
    const [last] = waiter.driver.callsOf('keepPlaces').slice(-1);
    await held.release();
    expect(await remaining).toBe(last!.at + ARMED - driftMargin(ARMED) - holder.clock.now());
  });

  it('is renewed after one heartbeat, for the whole TTL', async () => {
    const held = await holder.manager.acquire(request({ ttl }));
    const waiting = outcome(waiter.manager.acquire(request(want)));
    await advance(10);
    await held.release();
    await advance(HEARTBEAT);
    expect(waiter.driver.callsOf('renew').length).toBeGreaterThan(0);
    expect(waiting.value!.remaining).toBeGreaterThan(ARMED);
  });

  it('is found by the next heartbeat when the message is lost', async () => {
    const held = await holder.manager.acquire(request({ ttl }));
    waiter.driver.deaf = true;
    const waiting = outcome(waiter.manager.acquire(request(want)));
    await advance(10);
    await held.release();
    await advance(1.25 * HEARTBEAT);
    expect(waiting.value).toMatchObject({ held: true });
    expect(waiting.value!.remaining).toBeGreaterThan(ARMED);
  });

  it('is taken though the message overtakes the answer that we wait', async () => {
    const held = await holder.manager.acquire(request({ ttl }));
    waiter.driver.next('acquire', { answerAfter: 200 });
    const waiting = outcome(waiter.manager.acquire(request(want)));
    await advance(10);
    await held.release();
    await advance(150);
    expect(waiting.settled).toBe(false);
    await advance(40);
    expect(waiting.value!.remaining).toBe(ARMED - driftMargin(ARMED) - 200);
    expect(waiter.driver.callsOf('acquire')).toHaveLength(1);
  });

  it('is not taken from the message of an earlier grant that ran out', async () => {
    const third = holder.peer('c');
    const held = await holder.manager.acquire(request({ ttl }));
    waiter.driver.eventsLate = 2500;
    const waiting = outcome(waiter.manager.acquire(request(want)));
    await advance(10);
    // The waiter does not learn that it was passed the lease: its next request is lost until that has run out.
    waiter.driver.next('acquire', { loseRequest: 1600 });
    await held.release();
    await advance(ARMED + 10);
    const others = await third.manager.acquire(request({ ttl: 60_000 }));
    await advance(300);
    expect(waiter.driver.callsOf('acquire')).toHaveLength(3);
    await advance(1000);
    expect(waiting.settled).toBe(false);
    await others.release();
    await advance(3000);
    expect(waiting.value!.fencingToken).toBeGreaterThan(others.fencingToken);
  });

  it('is confirmed before it is delivered when its message took most of the time for which it was armed', async () => {
    const held = await holder.manager.acquire(request({ ttl }));
    waiter.driver.eventsLate = 1600;
    waiter.driver.next('acquire', { answerAfter: 0 }, { loseRequest: 1200 });
    const remaining = waiter.manager.acquire(request(want)).then((lock) => lock.remaining);
    await advance(10);
    await held.release();
    // The heartbeat on its way is lost, too, so that the message is the first that is heard of the grant.
    await advance(1800);
    expect(await remaining).toBe(ttl - driftMargin(ttl));
  });

  it('is followed when the lease in front has run out, whenever the next heartbeat is', async () => {
    await holder.manager.acquire(request({ ttl }));
    await advance(600);
    const waiting = outcome(waiter.manager.acquire(request({ ttl: 60_000, pollEvery: 60_000 })));
    holder.driver.unreachable = true;
    await advance(ttl - 600 - 1);
    expect(waiting.settled).toBe(false);
    await advance(100);
    expect(waiting.value).toMatchObject({ held: true });
  });

  it('is passed to a waiter that looks seldom, too: it says often enough that it is there', async () => {
    const held = await holder.manager.acquire(request({ ttl: 60_000 }));
    const waiting = outcome(waiter.manager.acquire(request({ ...want, pollEvery: 60_000 })));
    await advance(10 * HEARTBEAT + 10);
    await held.release();
    await advance(0);
    expect(waiting.value).toMatchObject({ held: true });
  });

  it('is not left in the queue by a caller that gives up after a heartbeat that was not sent', async () => {
    await holder.manager.acquire(request({ ttl }));
    const controller = new AbortController();
    const waiting = outcome(waiter.manager.acquire(request({ ...want, signal: controller.signal })));
    await advance(10);
    expect(await holder.manager.inspect('test:l:k')).toMatchObject({ waiters: 1 });
    waiter.driver.unreachable = true;
    await advance(1.25 * HEARTBEAT);
    waiter.driver.unreachable = false;
    controller.abort(new Error('gone'));
    await advance(0);
    expect(waiting.error).toEqual(new Error('gone'));
    expect(await holder.manager.inspect('test:l:k')).toMatchObject({ waiters: 0 });
  });

  it('goes on to the next when the caller gave up while it was on its way', async () => {
    const next = holder.peer('c');
    const held = await holder.manager.acquire(request({ ttl }));
    waiter.driver.eventsLate = 50;
    const waiting = outcome(waiter.manager.acquire(request({ ...want, limit: { wait: 100 } })));
    const second = outcome(next.manager.acquire(request(want)));
    await advance(90);
    await held.release();
    await advance(10);
    expect(waiting.error).toMatchObject({ code: 'LOCK_NOT_ACQUIRED' });
    expect(second.value).toMatchObject({ held: true });
    await advance(1000);
    expect(second.value!.held).toBe(true);
  });

  it('is given back at once when it reaches a cancelled caller, and never delivered', async () => {
    const held = await holder.manager.acquire(request({ ttl }));
    const controller = new AbortController();
    const waiting = outcome(waiter.manager.acquire(request({ ...want, signal: controller.signal })));
    await advance(10);
    void held.release();
    controller.abort(new Error('gone'));
    await advance(0);
    expect(waiting.error).toEqual(new Error('gone'));
    expect(await holder.manager.inspect('test:l:k')).toBeNull();
  });

  it('passes a stopped waiter by', async () => {
    const next = holder.peer('c');
    const held = await holder.manager.acquire(request({ ttl: 60_000 }));
    const stopped = outcome(waiter.manager.acquire(request(want)));
    await advance(10);
    const second = outcome(next.manager.acquire(request(want)));
    waiter.driver.unreachable = true;
    waiter.driver.deaf = true;
    await advance(5 * HEARTBEAT);
    await held.release();
    await advance(0);
    expect(second.value).toMatchObject({ held: true });
    expect(stopped.settled).toBe(false);
  });

  it('costs four heartbeats when the waiter dies just before it gets it', async () => {
    const next = holder.peer('c');
    const held = await holder.manager.acquire(request({ ttl: 60_000 }));
    void waiter.manager.acquire(request(want));
    await advance(10);
    const second = outcome(next.manager.acquire(request(want)));
    await advance(10);
    waiter.driver.unreachable = true;
    waiter.driver.deaf = true;
    await held.release();
    await advance(ARMED - 20);
    expect(second.settled).toBe(false);
    await advance(HEARTBEAT);
    expect(second.value).toMatchObject({ held: true });
  });

  it('comes back to a waiter that was passed by, when it is there again', async () => {
    const held = await holder.manager.acquire(request({ ttl: 60_000 }));
    const waiting = outcome(waiter.manager.acquire(request(want)));
    await advance(10);
    waiter.driver.unreachable = true;
    await advance(5 * HEARTBEAT);
    await held.release();
    await advance(100);
    waiter.driver.unreachable = false;
    await advance(2 * HEARTBEAT + 1000);
    expect(waiting.value).toMatchObject({ held: true });
  });

  it('serves instances in the order of their arrival', async () => {
    const order: string[] = [];
    const held = await holder.manager.acquire(request({ ttl }));
    const done = ['b', 'c', 'd', 'e'].map(async (id) => {
      const lock = await holder.peer(id).manager.acquire(request(want));
      order.push(id);
      await lock.release();
    });
    await advance(100);
    await held.release();
    await advance(10);
    await Promise.all(done);
    expect(order).toEqual(['b', 'c', 'd', 'e']);
  });
});

// Rule S7 of docs/internals/safety.md.
describe('a lease that an instance passes on to itself', () => {
  let engine: Engine;
  let peer: Engine;
  beforeEach(() => {
    engine = new Engine();
    peer = engine.peer('b');
  });
  const advance = (milliseconds: number): Promise<void> => engine.clock.advance(milliseconds);
  const releases = (): number => engine.driver.callsOf('release').length;

  async function take(from: Engine, count: number, hold = (): Promise<void> => Promise.resolve()): Promise<number[]> {
    const tokens: number[] = [];
    const all = Array.from({ length: count }, async () => {
      await using lock = await from.manager.acquire(request({ ttl, limit: { wait: Infinity } }));
      tokens.push(lock.fencingToken);
      await hold();
    });
    await Promise.all(all);
    return tokens;
  }

  /** Somebody here waits at every moment, so that the instance need never give the key back. */
  function endlessLine(stop: AbortSignal): Promise<void>[] {
    return Array.from({ length: 3 }, async () => {
      while (!stop.aborted) {
        await using lock = await engine.manager.acquire(request({ ttl, limit: { wait: Infinity } }));
        await new Promise<void>((resolve) => void engine.clock.after(1, resolve));
        expect(lock.held).toBe(true);
      }
    });
  }

  it('costs three requests for all its callers while nobody else waits', async () => {
    expect(await take(engine, 50)).toHaveLength(50);
    expect(engine.driver.calls.map(({ call }) => call)).toEqual(['acquire', 'reserve', 'release']);
  });

  it('has a larger token for each of them, beyond the block that was reserved at first', async () => {
    const tokens = await take(engine, 300);
    expect(tokens).toEqual(tokens.toSorted((a, b) => a - b));
    expect(new Set(tokens).size).toBe(300);
    expect(engine.driver.callsOf('reserve').length).toBeGreaterThan(3);
    const next = await peer.manager.acquire(request({ ttl }));
    expect(next.fencingToken).toBeGreaterThan(tokens.at(-1)!);
  });

  it('never gets a token that a later grant falls short of, also when it dies in the middle', async () => {
    let last = 0;
    void take(engine, 100, async () => {
      if (last === 30) engine.driver.unreachable = true;
      last++;
      if (last > 30) await new Promise(() => undefined);
    });
    const held: number[] = [];
    engine.driver.deaf = true;
    await advance(10);
    for (const event of engine.events) if (event.type === 'acquired') held.push(event.fencingToken);
    expect(held.length).toBeGreaterThan(20);
    await advance(ttl + 1000);
    const next = await peer.manager.acquire(request({ ttl }));
    expect(next.fencingToken).toBeGreaterThan(Math.max(...held));
  });

  it('is passed on a few times only while another instance waits', async () => {
    const first = await engine.manager.acquire(request({ ttl }));
    const order: string[] = [];
    const callers = [engine, peer].flatMap((from, index) =>
      Array.from({ length: 40 }, async () => {
        await using lock = await from.manager.acquire(request({ ttl, limit: { wait: Infinity } }));
        expect(lock.held).toBe(true);
        order.push('ab'[index]!);
      }),
    );
    await advance(10);
    await first.release();
    await advance(10);
    await Promise.all(callers);
    const batches = order
      .join('')
      .match(/a+|b+/g)!
      .map((batch) => batch.length);
    expect(Math.max(...batches.slice(0, -1))).toBeLessThanOrEqual(16);
    expect(batches.length).toBeGreaterThan(4);
  });

  it('is passed on to others soon when its callers hold it for long', async () => {
    const slow = take(engine, 20, () => new Promise((resolve) => void engine.clock.after(200, resolve)));
    await advance(10);
    const other = outcome(peer.manager.acquire(request({ ttl, limit: { wait: Infinity } })));
    await advance(500);
    expect(other.value).toMatchObject({ held: true });
    await other.value!.release();
    await advance(10_000);
    await slow;
  });

  it('is given to others within a third of the TTL though the message that they wait is lost', async () => {
    const stop = new AbortController();
    const loops = endlessLine(stop.signal);
    engine.driver.deaf = true;
    await advance(100);
    const waiting = outcome(peer.manager.acquire(request({ ttl, limit: { wait: Infinity } })));
    await advance(ttl / 3 + 200);
    expect(waiting.value).toMatchObject({ held: true });
    expect(releases()).toBe(1);
    stop.abort();
    await waiting.value!.release();
    await advance(1000);
    await Promise.all(loops);
  });

  it('control: stays with the instance for as long as nobody else waits', async () => {
    const stop = new AbortController();
    const loops = endlessLine(stop.signal);
    await advance(ttl);
    expect(releases()).toBe(0);
    stop.abort();
    await advance(100);
    await Promise.all(loops);
  });

  it('does not starve timers', async () => {
    const stop = new AbortController();
    const loops = Array.from({ length: 10 }, async () => {
      while (!stop.signal.aborted)
        await (await engine.manager.acquire(request({ ttl, limit: { wait: Infinity } }))).release();
    });
    await new Promise<void>((resolve) => setTimeout(resolve, 5));
    stop.abort();
    await Promise.all(loops);
    expect(engine.events.length).toBeGreaterThan(100);
  });

  it.each([
    ['TTL', { ttl: 2 * ttl }],
    ['metadata', { metadata: { a: '1' } }],
    ['validity', { validFor: 1000 }],
  ])('is not passed on to a caller that asks for another %s', async (_, change) => {
    const held = await engine.manager.acquire(request({ ttl }));
    const other = outcome(engine.manager.acquire(request({ ttl, ...change })));
    await advance(10);
    await held.release();
    await advance(10);
    expect(releases()).toBe(1);
    expect(other.value!.holder).not.toBe(held.holder);
    expect((await engine.manager.inspect('test:l:k'))!.metadata).toEqual('metadata' in change ? change.metadata : {});
    expect(other.value!.remaining > 1000).toBe(!('validFor' in change));
  });

  it('is not handed to a caller that asks the store, which may have an answer for it', async () => {
    engine.driver.next('acquire', { executeAfter: 20 });
    const asking = outcome(engine.manager.acquire(request({ ttl })));
    await advance(10);
    const held = await engine.manager.acquire(request({ ttl, limit: { attempts: 1, retryDelay: 1 } }));
    await advance(40);
    expect(asking.settled).toBe(false);
    await held.release();
    await advance(0);
    expect(asking.value).toMatchObject({ held: true });
    await asking.value!.release();
    await advance(0);
    expect(await engine.manager.inspect('test:l:k')).toBeNull();
  });

  it('is given back, not handed on, when little of it is left', async () => {
    const held = await engine.manager.acquire(request({ ttl }));
    const waiting = outcome(engine.manager.acquire(request({ ttl })));
    engine.driver.next('renew', { loseRequest: 1e6 }, { loseRequest: 1e6 }, { loseRequest: 1e6 });
    await advance(ttl - driftMargin(ttl) - 1);
    expect(held.held).toBe(true);
    await held.release();
    await advance(0);
    expect(waiting.value!.remaining).toBeGreaterThan(2 * HEARTBEAT);
    expect(waiting.value!.fencingToken).toBeGreaterThan(held.fencingToken);
  });

  it('is not handed on when it was lost while a token was reserved for the next caller', async () => {
    // Uses up the block that came with the grant.
    await engine.manager.connect();
    const grant = engine.driver.acquire.bind(engine.driver);
    engine.driver.acquire = async (...args) => {
      const answer = await grant(...args);
      return answer.status === 'granted' ? { ...answer, tokens: 1 } : answer;
    };
    const held = await engine.manager.acquire(request({ ttl }));
    const waiting = outcome(engine.manager.acquire(request({ ttl })));
    await advance(ttl / 3 - 10);
    engine.driver.next('reserve', { answerAfter: 100 });
    engine.driver.next('renew', { reject: new Error('The connection was lost.') });
    const released = held.release();
    await advance(1);
    await engine.store.release({ key: 'test:l:k', holder: held.holder, ttl });
    const other = await peer.manager.acquire(request({ ttl }));
    await advance(150);
    await released;
    expect(waiting.settled).toBe(false);
    await other.release();
    await advance(0);
    expect(waiting.value!.fencingToken).toBeGreaterThan(other.fencingToken);
  });

  it('is released before the next caller here asks, who then stands behind those who wait in the store', async () => {
    const held = await engine.manager.acquire(request({ ttl }));
    // Another TTL: it cannot be handed on.
    const next = outcome(engine.manager.acquire(request({ ttl: 2 * ttl })));
    await advance(10);
    await held.release();
    await advance(0);
    expect(engine.driver.calls.map(({ call }) => call)).toEqual(['acquire', 'release', 'acquire']);
    // Had it asked before, it would have been queued, and passed a lease that is armed for some heartbeats.
    expect(next.value!.remaining).toBe(2 * ttl - driftMargin(2 * ttl));
  });

  it('is handed on only while it is valid, and each caller has a signal of its own', async () => {
    const first = await engine.manager.acquire(request({ ttl }));
    const { signal } = first;
    const second = outcome(engine.manager.acquire(request({ ttl })));
    engine.driver.unreachable = true;
    await advance(ttl);
    expect(signal.aborted).toBe(true);
    await first.release();
    await advance(10);
    expect(second.settled).toBe(false);
    engine.driver.unreachable = false;
    await advance(2000);
    expect(second.value!.held).toBe(true);
    expect(second.value!.signal.aborted).toBe(false);
    expect(second.value!.fencingToken).toBeGreaterThan(first.fencingToken);
  });

  it('is lost for the caller that has it, not for the one before', async () => {
    const first = await engine.manager.acquire(request({ ttl }));
    const before = first.signal;
    const second = outcome(engine.manager.acquire(request({ ttl })));
    await advance(10);
    await first.release();
    await advance(0);
    await engine.store.release({ key: 'test:l:k', holder: second.value!.holder, ttl });
    await advance(ttl);
    expect(second.value!.signal.reason).toMatchObject({ reason: 'gone', fencingToken: second.value!.fencingToken });
    expect(before.aborted).toBe(false);
  });

  it('is given back when the caller that it was handed to gave up in the same moment', async () => {
    const first = await engine.manager.acquire(request({ ttl }));
    const controller = new AbortController();
    const second = outcome(engine.manager.acquire(request({ ttl, signal: controller.signal })));
    await advance(10);
    const released = first.release();
    controller.abort(new Error('gone'));
    await released;
    await advance(10);
    expect(second.error).toEqual(new Error('gone'));
    expect(await engine.manager.inspect('test:l:k')).toBeNull();
  });
});
