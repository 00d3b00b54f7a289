import { beforeEach, describe, expect, it } from 'vitest';
import { driftMargin } from '../../../lib/core/validity.js';
import { Engine, outcome as outcomeOf, request } from '../../support/engine/engine.js';

// Rules S4 and S5 of docs/internals/safety.md.
describe('the watchdog', () => {
  let engine: Engine;
  beforeEach(() => {
    engine = new Engine();
  });
  const renewals = (): number[] => engine.driver.callsOf('renew').map(({ at }) => at);

  it('renews every third of the TTL for as long as the lock is held', async () => {
    const lock = await engine.manager.acquire(request({ ttl: 3000 }));
    await engine.clock.advance(10_000);
    expect(renewals()).toEqual([1000, 2000, 3000, 4000, 5000, 6000, 7000, 8000, 9000, 10_000]);
    expect(lock.held).toBe(true);
    expect(engine.events.at(-1)).toEqual({ type: 'renewed', key: 'k', fencingToken: lock.fencingToken, took: 0 });
  });

  it('sends no renewal once the release was sent, and ignores the answer of one under way', async () => {
    const lock = await engine.manager.acquire(request());
    engine.driver.next('renew', { answerAfter: 500 });
    engine.driver.next('release', { executeAfter: 2000 });
    await engine.clock.advance(1000);
    void lock.release();
    await engine.clock.advance(10_000);
    expect(renewals()).toEqual([1000]);
    expect(engine.eventTypes()).toEqual(['acquired', 'released']);
  });

  it('retries a failed renewal with backoff while the lock is valid, and says that it is at risk', async () => {
    const lock = await engine.manager.acquire(request({ ttl: 3000 }));
    const cause = new Error('boom');
    engine.driver.next('renew', { reject: cause }, { reject: cause }, { reject: cause });
    await engine.clock.advance(1900);
    // Backoff from 100 ms, doubled; the fixed random number makes it three quarters of that.
    expect(renewals()).toEqual([1000, 1075, 1225, 1525]);
    expect(lock.held).toBe(true);
    expect(engine.events.slice(1)).toEqual([
      { type: 'at-risk', key: 'k', fencingToken: lock.fencingToken, remaining: 2000 - driftMargin(3000), cause },
      { type: 'renewed', key: 'k', fencingToken: lock.fencingToken, took: 0 },
    ]);
  });

  it('starts the backoff at a twelfth of a short TTL', async () => {
    await engine.manager.acquire(request({ ttl: 240 }));
    engine.driver.next('renew', { reject: new Error('boom') });
    await engine.clock.advance(100);
    expect(renewals()).toEqual([80, 95]);
  });

  it('does not wait longer than a sixth of the TTL for an answer', async () => {
    await engine.manager.acquire(request({ ttl: 3000 }));
    engine.driver.next('renew', { answerAfter: 1e6 });
    await engine.clock.advance(1600);
    expect(renewals()).toEqual([1000, 1575]);
  });

  it('uses an answer that comes after it was given up, as long as the lock is valid', async () => {
    const lock = await engine.manager.acquire(request({ ttl: 3000 }));
    engine.driver.next(
      'renew',
      { answerAfter: 1800 },
      { loseRequest: 1e6 },
      { loseRequest: 1e6 },
      { loseRequest: 1e6 },
    );
    await engine.clock.advance(2800);
    expect(lock.remaining).toBe(1000 + 3000 - driftMargin(3000) - 2800);
  });

  it('renews what is left, though the lease by which it looked for the store was released meanwhile', async () => {
    const kept = await engine.manager.acquire(request());
    const probed = await engine.manager.acquire(request({ key: 'other', storeKey: 'test:l:other' }));
    engine.driver.next('renew', { reject: new Error('down') }, { loseRequest: 100 });
    await engine.clock.advance(1100);
    expect(engine.driver.callsOf('renew').at(-1)).toMatchObject({ at: 1075, holders: [probed.holder] });
    await probed.release();
    await engine.clock.advance(3000);
    expect(kept.held).toBe(true);
  });

  it('begins its retries early after an outage in which all leases ended, too', async () => {
    await engine.manager.acquire(request({ ttl: 600 }));
    engine.driver.unreachable = true;
    await engine.clock.advance(5000);
    engine.driver.unreachable = false;
    const lock = await engine.manager.acquire(request({ key: 'other', storeKey: 'test:l:other', ttl: 600 }));
    engine.driver.next('renew', { reject: new Error('a blip') });
    await engine.clock.advance(2000);
    expect(lock.held).toBe(true);
  });

  it('sends nothing for a lease that was released by whoever was told of the loss of another', async () => {
    const other = await engine.manager.acquire(request({ key: 'other', storeKey: 'test:l:other', renewEvery: 100 }));
    const lost = await engine.manager.acquire(request({ ttl: 600 }));
    lost.signal.addEventListener('abort', () => void other.release());
    engine.clock.block(700);
    await engine.clock.advance(0);
    expect(lost.held).toBe(false);
    expect(renewals()).toEqual([]);
  });

  it('renews nothing again for which an answer came late', async () => {
    for (const key of ['a', 'b', 'c']) await engine.manager.acquire(request({ key, storeKey: `test:l:${key}` }));
    engine.driver.next('renew', { answerAfter: 520 });
    await engine.clock.advance(1900);
    expect(renewals()).toEqual([1000]);
    expect(engine.eventTypes().filter((type) => type === 'renewed')).toHaveLength(3);
  });

  it('takes "not the holder" as final', async () => {
    const lock = await engine.manager.acquire(request());
    const { signal } = lock;
    await engine.store.release({ key: 'test:l:k', holder: lock.holder, ttl: 3000 });
    await engine.clock.advance(1000);
    expect(lock.held).toBe(false);
    expect(signal.reason).toMatchObject({ reason: 'gone' });
    await engine.clock.advance(10_000);
    expect(renewals()).toHaveLength(1);
    expect(engine.eventTypes()).toEqual(['acquired', 'lost']);
    await lock.release();
    expect(engine.driver.callsOf('release')).toHaveLength(0);
  });

  it('leaves the key of a lost lease to the next caller here, though the code that had it still runs', async () => {
    const lost = await engine.manager.acquire(request({ ttl: 3000 }));
    const { signal } = lost;
    const next = outcomeOf(engine.manager.acquire(request({ ttl: 3000 })));
    await engine.clock.advance(10);
    await engine.store.release({ key: 'test:l:k', holder: lost.holder, ttl: 3000 });
    await engine.clock.advance(1000);
    expect(signal.aborted).toBe(true);
    expect(next.value!.fencingToken).toBeGreaterThan(lost.fencingToken);
    await lost.release();
    expect(next.value!.held).toBe(true);
    // Nobody here asks for what the instance has: the late release was not of this lease.
    void engine.manager.acquire(request({ ttl: 3000 }));
    await engine.clock.advance(10);
    expect(await engine.manager.inspect('test:l:k')).toMatchObject({ holder: next.value!.holder, waiters: 0 });
  });

  it('tries again soon for a lease of which the store cannot tell, and for no other', async () => {
    const [unsure, held] = [
      await engine.manager.acquire(request({ ttl: 3000 })),
      await engine.manager.acquire(request({ key: 'other', storeKey: 'test:l:other', ttl: 3000 })),
    ];
    const { renew } = engine.store;
    engine.store.renew = async (leases) => {
      const outcomes = await renew.call(engine.store, leases);
      return outcomes.map((outcome, index) => (leases[index]!.holder === unsure.holder ? 'unknown' : outcome));
    };
    await engine.clock.advance(1000);
    expect(engine.eventTypes().slice(2)).toEqual(['at-risk', 'renewed']);
    const retry = engine.driver.callsOf('renew').length;
    await engine.clock.advance(150);
    expect(engine.driver.callsOf('renew').slice(retry)).toMatchObject([{ holders: [unsure.holder] }]);
    expect(unsure.remaining).toBe(3000 - driftMargin(3000) - 1150);
    engine.store.renew = renew;
    await engine.clock.advance(500);
    expect([unsure.held, held.held]).toEqual([true, true]);
    await engine.clock.advance(10_000);
    expect([unsure.held, held.held]).toEqual([true, true]);
  });

  it('loses before it renews when the event loop was blocked past the end', async () => {
    const lock = await engine.manager.acquire(request({ ttl: 3000 }));
    engine.clock.block(5000);
    await engine.clock.advance(10);
    expect(renewals()).toEqual([]);
    expect(engine.events.at(-1)).toMatchObject({ type: 'lost', reason: 'expired', held: 5000 });
    expect(lock.signal.aborted).toBe(true);
  });

  it('names the failure that kept it from renewing', async () => {
    const lock = await engine.manager.acquire(request());
    engine.driver.unreachable = true;
    await engine.clock.advance(4000);
    expect(lock.signal.reason).toMatchObject({ reason: 'expired', cause: { message: 'Not connected.' } });
  });

  it('renews a thousand locks with few requests', async () => {
    for (let index = 0; index < 1000; index++) {
      await engine.manager.acquire(request({ key: `k${index}`, storeKey: `test:l:k${index}`, ttl: 3000 }));
      if (index % 10 === 0) await engine.clock.advance(10);
    }
    const before = engine.driver.callsOf('renew').length;
    await engine.clock.advance(10_000);
    const sent = engine.driver.callsOf('renew').slice(before);
    expect(Math.max(...sent.map(({ holders }) => holders.length))).toBeLessThanOrEqual(250);
    expect(sent.length / 10).toBeLessThanOrEqual(10);
    expect(engine.eventTypes()).not.toContain('lost');
    expect(engine.eventTypes()).not.toContain('at-risk');
  });
});
