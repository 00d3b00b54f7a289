import { setImmediate } from 'node:timers/promises';
import { DriverUnavailableError, LockLostError } from 'nestjs-dist-lock';
import { beforeEach, describe, expect, it } from 'vitest';
import { driftMargin } from '../../../lib/core/validity.js';
import { Lease } from '../../../lib/locks/lease.js';
import { Engine, outcome, request } from '../../support/engine/engine.js';

// Rules S1, S2 and S5 of docs/internals/safety.md.
describe('validity', () => {
  const ttl = 3000;
  const margin = driftMargin(ttl);
  let engine: Engine;
  beforeEach(() => {
    engine = new Engine();
  });

  it('keeps a margin of one percent and two milliseconds', () => {
    expect(margin).toBe(32);
    expect(driftMargin(30_000)).toBe(302);
    expect(driftMargin(50)).toBe(3);
  });

  it('runs from the sending of the request, not from the arrival of the answer', async () => {
    engine.driver.next('acquire', { answerAfter: 400 });
    const acquired = engine.manager.acquire(request());
    await engine.clock.advance(400);
    expect((await acquired).remaining).toBe(ttl - margin - 400);
  });

  it('runs from the sending of the renewal that was answered last', async () => {
    const lock = await engine.manager.acquire(request());
    engine.driver.next('renew', { answerAfter: 300 });
    await engine.clock.advance(1000 + 300);
    expect(lock.remaining).toBe(ttl - margin - 300);
  });

  it('confirms a grant that used up three quarters of its TTL before it is delivered', async () => {
    engine.driver.next('acquire', { answerAfter: 2300 });
    const acquired = outcome(engine.manager.acquire(request()));
    await engine.clock.advance(2299);
    expect(engine.driver.callsOf('acquire')).toHaveLength(1);
    await engine.clock.advance(1);
    const [first, second] = engine.driver.callsOf('acquire');
    expect(second!.holders).toEqual(first!.holders);
    expect(acquired.value!.remaining).toBe(ttl - margin);
  });

  it('delivers a grant with just over a quarter of its TTL left as it is', async () => {
    engine.driver.next('acquire', { answerAfter: 2200 });
    const remaining = engine.manager.acquire(request()).then((lock) => lock.remaining);
    await engine.clock.advance(2200);
    expect(engine.driver.callsOf('acquire')).toHaveLength(1);
    expect(await remaining).toBe(ttl - margin - 2200);
  });

  it('gives back a grant that arrives expired, and asks anew after a pause', async () => {
    engine.driver.next('acquire', { executeAfter: 4000 });
    const acquired = outcome(engine.manager.acquire(request()));
    await engine.clock.advance(4001);
    expect(engine.driver.callsOf('acquire')).toHaveLength(1);
    await engine.clock.advance(100);
    const [first, second] = engine.driver.callsOf('acquire');
    expect(second!.holders).not.toEqual(first!.holders);
    expect(engine.driver.callsOf('cancel')[0]!.holders).toEqual(first!.holders);
    await engine.clock.advance(1000);
    expect(acquired.value!.held).toBe(true);
  });

  it('does not ask a store for ever that takes longer than the TTL to answer', async () => {
    for (let call = 0; call < 5; call++) engine.driver.next('acquire', { executeAfter: 4000 });
    const acquired = outcome(engine.manager.acquire(request({ limit: { attempts: 2, retryDelay: 100 } })));
    await engine.clock.advance(10_000);
    expect(acquired.error).toBeInstanceOf(DriverUnavailableError);
    expect((acquired.error as Error).message).toMatch(/takes too long to answer for a TTL of \d+ ms/);
    expect(engine.driver.callsOf('acquire')).toHaveLength(2);
    expect(engine.driver.callsOf('cancel')).toHaveLength(2);
  });

  it('is over at every read once the clock has passed, though no timer ran and no news came', async () => {
    const lock = await engine.manager.acquire(request());
    engine.clock.block(ttl - margin - 1);
    expect(lock.held).toBe(true);
    expect(() => lock.ensure()).not.toThrow();
    engine.clock.block(1);
    expect(lock.held).toBe(false);
    expect(lock.remaining).toBe(0);
    expect(() => lock.ensure()).toThrow(LockLostError);
  });

  it('never comes back by a renewal whose answer arrives too late', async () => {
    const lock = await engine.manager.acquire(request());
    engine.driver.next(
      'renew',
      { answerAfter: 2500 },
      { loseRequest: 1e6 },
      { loseRequest: 1e6 },
      { loseRequest: 1e6 },
    );
    await engine.clock.advance(1000);
    engine.clock.block(2000);
    expect(lock.held).toBe(false);
    await engine.clock.advance(600);
    expect(lock.held).toBe(false);
    expect(lock.signal.aborted).toBe(true);
    expect(await engine.manager.inspect('test:l:k')).not.toBeNull();
  });

  it('never comes back by a renewal whose answer is there before any timer has run', async () => {
    const lock = await engine.manager.acquire(request());
    const { signal } = lock;
    let answer!: () => void;
    const { renew } = engine.driver;
    engine.driver.renew = async (leases) => {
      const outcomes = await renew.call(engine.driver, leases);
      await new Promise<void>((resolve) => (answer = resolve));
      return outcomes;
    };
    await engine.clock.advance(1000);
    // As in a process that was stopped: the first thing it reads afterwards is the answer.
    engine.clock.block(2000);
    answer();
    await setImmediate();
    expect(lock.held).toBe(false);
    expect(() => lock.ensure()).toThrow(LockLostError);
    expect(signal.reason).toMatchObject({ code: 'LOCK_LOST', reason: 'expired' });
    await engine.clock.advance(10);
    expect(lock.held).toBe(false);
    expect(engine.eventTypes().filter((type) => type === 'lost')).toHaveLength(1);
    expect(engine.eventTypes()).not.toContain('renewed');
  });

  it('aborts the signal before the lease can have run out in the store', async () => {
    const lock = await engine.manager.acquire(request());
    const { signal } = lock;
    const grantedAt = engine.clock.now();
    let abortedAt = Infinity;
    signal.addEventListener('abort', () => (abortedAt = engine.clock.now()));
    engine.driver.unreachable = true;
    await engine.clock.advance(10_000);
    expect(abortedAt).toBeLessThan(grantedAt + ttl);
    expect(abortedAt).toBe(grantedAt + ttl - margin);
    expect(signal.reason).toMatchObject({
      code: 'LOCK_LOST',
      reason: 'expired',
      key: 'k',
      fencingToken: lock.fencingToken,
    });
  });

  it('gives a signal that is asked for after the loss', async () => {
    const lock = await engine.manager.acquire(request());
    engine.driver.unreachable = true;
    await engine.clock.advance(4000);
    expect(lock.signal.aborted).toBe(true);
    expect(lock.signal.reason).toBeInstanceOf(LockLostError);
  });

  it('ensures that enough time is left', async () => {
    const lock = await engine.manager.acquire(request());
    expect(() => lock.ensure(ttl - margin)).not.toThrow();
    expect(() => lock.ensure(ttl)).toThrow(/less time left than was asked for/);
    await lock.release();
    expect(() => lock.ensure()).toThrow(/already released/);
  });
});

describe('Lease', () => {
  const claim = { key: 'test:l:k', holder: 'h', ttl: 1000, instance: 'a', metadata: {} };
  const grant = { claim, fencingToken: 1, tokens: 1, stray: false, anchor: 0, waiters: 0 };

  it('takes the newest anchor, whatever the order of the answers', () => {
    const { clock } = new Engine();
    const lease = new Lease(clock, { ...grant, ttl: 1000 }, clock.now());
    clock.block(500);
    lease.renewed(400);
    lease.renewed(300);
    expect(lease.validUntil).toBe(400 + 1000 - driftMargin(1000));
  });

  it('is over for good once its end has passed, or it was lost', () => {
    const { clock } = new Engine();
    const late = new Lease(clock, { ...grant, ttl: 1000 }, clock.now());
    const lost = new Lease(clock, { ...grant, ttl: 5000 }, clock.now());
    clock.block(1000 - driftMargin(1000));
    lost.lose('gone');
    for (const lease of [late, lost]) {
      expect(lease.remaining).toBe(0);
      expect(lease.renewed(clock.now())).toBe(false);
      expect(lease.remaining).toBe(0);
    }
  });

  it('is valid for the TTL that was granted, not the one asked for', () => {
    const { clock } = new Engine();
    const lease = new Lease(clock, { ...grant, ttl: 400 }, clock.now());
    expect(lease.validUntil).toBe(400 - driftMargin(400));
  });
});
