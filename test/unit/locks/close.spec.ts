import { LockLostError, LockServiceClosedError } from 'nestjs-dist-lock';
import { beforeEach, describe, expect, it } from 'vitest';
import { Engine, outcome, request } from '../../support/engine/engine.js';

// Rule S8 of docs/internals/safety.md.
describe('closing', () => {
  let engine: Engine;
  beforeEach(() => {
    engine = new Engine();
  });
  const other = request({ key: 'other', storeKey: 'test:l:other' });

  it('waits for guarded code, releases what it held, and closes the driver', async () => {
    let finish!: () => void;
    const task = outcome(engine.manager.withLock(request(), () => new Promise<void>((resolve) => (finish = resolve))));
    await engine.clock.advance(0);
    const closed = outcome(engine.manager.close(10_000));
    await engine.clock.advance(5000);
    expect(closed.settled).toBe(false);
    finish();
    await engine.clock.advance(0);
    expect(task).toMatchObject({ settled: true });
    expect(closed.settled).toBe(true);
    expect(engine.eventTypes().at(-1)).toBe('released');
    await expect(engine.store.inspect('test:l:k')).rejects.toThrow('closed');
  });

  it('keeps renewing while it waits', async () => {
    const peer = engine.peer();
    await peer.manager.connect();
    await engine.manager.acquire(request({ ttl: 3000 }));
    void engine.manager.close(10_000);
    await engine.clock.advance(9999);
    expect(await peer.manager.inspect('test:l:k')).not.toBeNull();
  });

  it('aborts what is still running after the grace period, and neither renews nor releases it', async () => {
    const peer = engine.peer();
    await peer.manager.connect();
    const lock = await engine.manager.acquire(request({ ttl: 3000 }));
    const { signal } = lock;
    void engine.manager.close(10_000);
    await engine.clock.advance(10_000);
    expect(signal.reason).toBeInstanceOf(LockLostError);
    expect(signal.reason).toMatchObject({ reason: 'shutdown' });
    const renewed = engine.driver.callsOf('renew').length;
    await lock.release();
    expect(engine.driver.callsOf('release')).toHaveLength(0);
    expect(await peer.manager.inspect('test:l:k')).not.toBeNull();
    await engine.clock.advance(3000);
    expect(engine.driver.callsOf('renew')).toHaveLength(renewed);
    expect(await peer.manager.inspect('test:l:k')).toBeNull();
  });

  it('ends all waiting at once and takes no new locks', async () => {
    const peer = engine.peer();
    await peer.manager.acquire(request());
    const waiting = [outcome(engine.manager.acquire(request())), outcome(engine.manager.acquire(request()))];
    await engine.clock.advance(10);
    await engine.manager.close(10_000);
    await engine.clock.advance(0);
    for (const { error } of waiting) expect(error).toBeInstanceOf(LockServiceClosedError);
    await expect(engine.manager.acquire(other)).rejects.toThrow(LockServiceClosedError);
  });

  it('lets guarded code take the further locks that it needs to finish', async () => {
    let proceed!: () => void;
    const task = outcome(
      engine.manager.withLock(request(), async () => {
        await new Promise<void>((resolve) => (proceed = resolve));
        return engine.manager.withLock(other, () => 'done');
      }),
    );
    await engine.clock.advance(0);
    const closed = outcome(engine.manager.close(10_000));
    await engine.clock.advance(100);
    proceed();
    await engine.clock.advance(0);
    expect(task.value).toBe('done');
    expect(closed.settled).toBe(true);
  });

  it('waits for releases that are still being retried, within the grace period', async () => {
    const lock = await engine.manager.acquire(request());
    engine.driver.next('release', { loseRequest: 100 }, { loseRequest: 100 });
    void lock.release();
    await engine.clock.advance(100);
    const closed = outcome(engine.manager.close(10_000));
    await engine.clock.advance(1000);
    expect(closed.settled).toBe(true);
    expect(engine.driver.callsOf('release')).toHaveLength(3);
  });

  it('passes a lock on to those who wait in the store, not to guarded code here that waits for it', async () => {
    const peer = engine.peer();
    const held = await engine.manager.acquire(request());
    const order: string[] = [];
    const take = async (from: Engine, who: string): Promise<void> => {
      await using lock = await from.manager.acquire(request());
      order.push(who);
      expect(lock.held).toBe(true);
    };
    const inside = engine.manager.withLock(other, () => take(engine, 'here'));
    await engine.clock.advance(10);
    const there = take(peer, 'there');
    await engine.clock.advance(10);
    const closed = outcome(engine.manager.close(10_000));
    await held.release();
    await engine.clock.advance(1000);
    await Promise.all([inside, there]);
    expect(order).toEqual(['there', 'here']);
    expect(closed.settled).toBe(true);
  });

  it('does not need to have been connected', async () => {
    await engine.manager.close(1000);
    expect(engine.driver.calls).toEqual([]);
  });
});

describe('withLock', () => {
  it('passes on the result or the error of the task, whatever becomes of the release', async () => {
    const engine = new Engine();
    const boom = new Error('boom');
    const failure = new Error('release failed');
    engine.driver.next('release', { reject: failure }, { reject: failure });
    await expect(engine.manager.withLock(request(), () => 42)).resolves.toBe(42);
    await engine.clock.advance(5000);
    engine.driver.next('release', { reject: failure });
    await expect(engine.manager.withLock(request(), () => Promise.reject(boom))).rejects.toBe(boom);
  });

  it('turns an exception into a rejection, and releases', async () => {
    const engine = new Engine();
    const run = (): Promise<never> =>
      engine.manager.withLock(request(), () => {
        throw new Error('sync');
      });
    await expect(run()).rejects.toThrow('sync');
    expect(await engine.manager.inspect('test:l:k')).toBeNull();
  });
});
