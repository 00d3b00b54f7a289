import { LockLostError } from 'nestjs-dist-lock';
import { MemoryDriver } from 'nestjs-dist-lock/memory';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import type { AcquireRequest } from '../../../lib/locks/lock-request.js';
import { ManualClock } from '../../../lib/testing/manual-clock.js';
import { Engine, outcome, request } from '../../support/engine/engine.js';

const KEY = 'test:l:k';
const once = { attempts: 1, retryDelay: 1 };

let engine: Engine;
let peer: Engine;
beforeEach(() => {
  engine = new Engine();
  peer = engine.peer();
});

/** When the peer can get the key, looked at every few milliseconds. */
async function freeAt(most = 60_000): Promise<number> {
  while (engine.clock.now() < most) {
    const lock = await peer.manager.tryAcquire(request({ limit: once }));
    if (lock) return engine.clock.now();
    await engine.clock.advance(5);
  }
  return Infinity;
}

describe('holdAtLeast', () => {
  const short = request({ ttl: 30_000, holdAtLeast: 1000 });
  const renewals = (): number => engine.driver.callsOf('renew').length;

  it.each<[string, (engine: Engine) => Promise<unknown>]>([
    ['a release', async ({ manager }) => (await manager.acquire(short)).release()],
    [
      'a release that is asked for twice',
      async ({ manager }) => {
        const lock = await manager.acquire(short);
        await Promise.all([lock.release(), lock.release()]);
      },
    ],
    [
      '`await using`',
      async ({ manager }) => {
        await using lock = await manager.acquire(short);
        expect(lock.held).toBe(true);
      },
    ],
    ['a single try', async ({ manager }) => (await manager.tryAcquire({ ...short, limit: once }))!.release()],
    ['withLock()', ({ manager }) => manager.withLock(short, () => 'done')],
    [
      'withLock() whose task throws',
      ({ manager }) => manager.withLock(short, () => Promise.reject(new Error('boom'))).catch(() => undefined),
    ],
    [
      'withLock() with a reentrant caller',
      ({ manager }) => manager.withLock(short, () => manager.withLock({ ...short, reentrant: true }, () => undefined)),
    ],
  ])('keeps others out for its time after %s', async (_, use) => {
    await use(engine);
    expect(await freeAt()).toBeGreaterThanOrEqual(1000);
    expect(engine.clock.now()).toBeLessThan(1010);
  });

  it('control: without it the key is free at once', async () => {
    await engine.manager.withLock({ ...short, holdAtLeast: undefined }, () => undefined);
    expect(await freeAt()).toBe(0);
  });

  it('counts from the grant, and a release after that time is a release', async () => {
    const lock = await engine.manager.acquire(short);
    await engine.clock.advance(999);
    void lock.release();
    expect(await freeAt()).toBe(1004);
    expect(renewals()).toBe(1);

    const later = await engine.manager.acquire(request({ ttl: 30_000, holdAtLeast: 1000, storeKey: 'test:l:other' }));
    await engine.clock.advance(1000);
    await later.release();
    expect(await engine.manager.inspect('test:l:other')).toBeNull();
    expect(renewals()).toBe(1);
  });

  it('counts from the grant to a caller, not from that of the lease', async () => {
    const first = await engine.manager.acquire(request({ ttl: 30_000 }));
    const waiting = outcome(engine.manager.acquire(short));
    await engine.clock.advance(2000);
    await first.release();
    await engine.clock.advance(0);
    expect(waiting.value?.holder).toBe(first.holder);
    await waiting.value!.release();
    expect(await freeAt()).toBeGreaterThanOrEqual(3000);
  });

  it('is not held any more by who released it, who is not kept waiting', async () => {
    const lock = await engine.manager.acquire(short);
    await lock.release();
    expect(engine.clock.now()).toBe(0);
    expect(lock.held).toBe(false);
    expect(lock.remaining).toBe(0);
    expect(lock.signal.aborted).toBe(false);
    expect(() => lock.ensure()).toThrow(LockLostError);
    expect(engine.eventTypes()).toEqual(['acquired', 'released']);
  });

  it('renews once more, for the rest, and then no more', async () => {
    const lock = await engine.manager.acquire(request({ ttl: 900, holdAtLeast: 900 }));
    await engine.clock.advance(100);
    await lock.release();
    expect((await peer.manager.inspect(KEY))?.remaining).toBeGreaterThanOrEqual(800);
    await engine.clock.advance(5000);
    expect(renewals()).toBe(1);
  });

  it('ends in time in the store where the process ends first', async () => {
    const lock = await engine.manager.acquire(short);
    await lock.release();
    engine.driver.unreachable = true;
    const free = await freeAt();
    expect(free).toBeGreaterThanOrEqual(1000);
    expect(free).toBeLessThan(1050);
  });

  it('lasts no shorter where the process dies while it works', async () => {
    await engine.manager.acquire(request({ ttl: 1000, holdAtLeast: 1000 }));
    engine.driver.unreachable = true;
    expect(await freeAt()).toBeGreaterThanOrEqual(1000);
  });

  it('outlives a shutdown, which does not wait for it, and does not last for the whole TTL', async () => {
    await peer.manager.connect();
    const lock = await engine.manager.acquire(short);
    await lock.release();
    await engine.manager.close(10_000);
    expect(engine.clock.now()).toBe(0);
    const free = await freeAt();
    expect(free).toBeGreaterThanOrEqual(1000);
    expect(free).toBeLessThan(1050);
  });

  it.each([
    ['of another instance', () => peer],
    ['of the same instance', () => engine],
  ])('lets a waiter %s have the key at the end of that time', async (_, whose) => {
    const lock = await engine.manager.acquire(short);
    const waiting = outcome(whose().manager.acquire(request({ ttl: 30_000 })));
    await engine.clock.advance(10);
    await lock.release();
    await engine.clock.advance(989);
    expect(waiting.settled).toBe(false);
    await engine.clock.advance(2);
    expect(waiting.value?.held).toBe(true);
  });

  it('serves the waiters in their order, each for that time', async () => {
    const order: string[] = [];
    const work = (name: string, { manager }: Engine): Promise<void> =>
      manager.withLock(short, () => void order.push(`${name} ${Math.round(engine.clock.now() / 1000)}`));
    const first = work('a', engine);
    await engine.clock.advance(1);
    const all = [first, work('b', peer), work('c', engine), work('d', peer)];
    await engine.clock.advance(10_000);
    await Promise.all(all);
    expect(order.map((entry) => entry.split(' ')[1])).toEqual(['0', '1', '2', '3']);
    expect(new Set(order.map((entry) => entry[0]))).toEqual(new Set(['a', 'b', 'c', 'd']));
  });

  it('repeats the last renewal until the store answers', async () => {
    const lock = await engine.manager.acquire(request({ ttl: 3000, holdAtLeast: 3000 }));
    engine.driver.next('renew', { reject: new Error('boom') }, { reject: new Error('boom') });
    await lock.release();
    await engine.clock.advance(1000);
    expect(renewals()).toBe(3);
    expect(await freeAt()).toBeGreaterThanOrEqual(3000);
  });

  it('repeats a last renewal whose outcome is unknown', async () => {
    const lock = await engine.manager.acquire(request({ ttl: 3000, holdAtLeast: 3000 }));
    const renew = vi.spyOn(engine.store, 'renew').mockResolvedValueOnce(['unknown']);
    await lock.release();
    await engine.clock.advance(1000);
    expect(renew).toHaveBeenCalledTimes(2);
  });

  it('renews nothing when its time is over before the store answers, and releases', async () => {
    const lock = await engine.manager.acquire(request({ ttl: 3000, holdAtLeast: 1000 }));
    engine.driver.unreachable = true;
    await lock.release();
    await engine.clock.advance(1500);
    engine.driver.unreachable = false;
    expect(await freeAt()).toBeLessThan(2700);
    expect(engine.driver.callsOf('renew').filter(({ at }) => at > 1000)).toEqual([]);
  });

  it('is kept although the store could not be asked for the rest of that time', async () => {
    const lock = await engine.manager.acquire(request({ ttl: 3000, holdAtLeast: 1000 }));
    engine.driver.unreachable = true;
    await lock.release();
    await engine.clock.advance(900);
    engine.driver.unreachable = false;
    expect(await freeAt()).toBeGreaterThanOrEqual(1000);
    expect(engine.clock.now()).toBeLessThan(3010);
  });

  // A renewal whose answer came too late may have armed the lease again: it is not given back early, either.
  it('keeps a lease that its holder lost by the clock', async () => {
    const lock = await engine.manager.acquire(request({ ttl: 3000, holdAtLeast: 3000 }));
    engine.clock.block(2990);
    await lock.release();
    expect(lock.signal.reason).toMatchObject({ reason: 'expired' });
    expect(await freeAt()).toBeGreaterThanOrEqual(3000);
  });
});

describe('maxHold', () => {
  const limited = request({ ttl: 3000, maxHold: 10_000 });

  it('loses the lock, with a reason, and renews it no more: it ends with its TTL', async () => {
    const lock = await engine.manager.acquire(limited);
    const { signal } = lock;
    await engine.clock.advance(9999);
    expect(lock.held).toBe(true);
    expect(signal.aborted).toBe(false);
    await engine.clock.advance(1);
    expect(lock.held).toBe(false);
    expect(signal.reason).toBeInstanceOf(LockLostError);
    expect(signal.reason).toMatchObject({ reason: 'max-hold', remaining: 0 });
    expect((signal.reason as Error).message).toContain('was held for as long as maxHold allows');
    expect(engine.events.at(-1)).toMatchObject({ type: 'lost', reason: 'max-hold', held: 10_000 });
    const renewed = engine.driver.callsOf('renew').length;
    expect(await freeAt()).toBeGreaterThanOrEqual(11_500);
    expect(engine.clock.now()).toBeLessThanOrEqual(13_010);
    expect(engine.driver.callsOf('renew')).toHaveLength(renewed);
  });

  it('control: without it a hung caller keeps the lock for ever', async () => {
    const lock = await engine.manager.acquire({ ...limited, maxHold: undefined });
    await engine.clock.advance(60_000);
    expect(lock.held).toBe(true);
  });

  it('is seen at the next read, also where no timer could run', async () => {
    const lock = await engine.manager.acquire(request({ ttl: 30_000, maxHold: 2000 }));
    engine.clock.block(1500);
    expect(lock.remaining).toBe(500);
    expect(() => lock.ensure(501)).toThrow(expect.objectContaining({ reason: 'ending' }));
    engine.clock.block(500);
    expect(lock.held).toBe(false);
    expect(() => lock.ensure()).toThrow(expect.objectContaining({ reason: 'max-hold' }));
  });

  it('leaves the lease to its TTL while the work goes on, and gives it back when the work ends', async () => {
    let finish!: () => void;
    const task = outcome(engine.manager.withLock(limited, () => new Promise<void>((resolve) => (finish = resolve))));
    await engine.clock.advance(10_500);
    expect(task.settled).toBe(false);
    expect(await peer.manager.tryAcquire(request({ limit: once }))).toBeNull();
    finish();
    await engine.clock.advance(0);
    expect(task).toEqual({ settled: true, value: undefined });
    expect(await freeAt()).toBe(10_500);
  });

  it('never touches a successor when the work ends late', async () => {
    const lock = await engine.manager.acquire(limited);
    await engine.clock.advance(14_000);
    const next = await peer.manager.acquire(request({ ttl: 3000 }));
    await lock.release();
    await engine.clock.advance(0);
    expect((await peer.manager.inspect(KEY))?.holder).toBe(next.holder);
  });

  it('limits the hold that asked for it, and none that uses the lease after it', async () => {
    const first = await engine.manager.acquire(request({ ttl: 3000, maxHold: 5000 }));
    const waiting = outcome(engine.manager.acquire(request({ ttl: 3000 })));
    await engine.clock.advance(4000);
    await first.release();
    await engine.clock.advance(20_000);
    expect(waiting.value?.held).toBe(true);
    expect(waiting.value!.holder).toBe(first.holder);
  });

  it('counts from the grant to a caller, not from that of the lease', async () => {
    const first = await engine.manager.acquire(request({ ttl: 3000 }));
    const waiting = outcome(engine.manager.acquire(request({ ttl: 3000, maxHold: 5000 })));
    await engine.clock.advance(4000);
    await first.release();
    await engine.clock.advance(4900);
    expect(waiting.value?.held).toBe(true);
    await engine.clock.advance(200);
    expect(waiting.value?.held).toBe(false);
  });

  it('does not hold up a shutdown for longer than the grace period', async () => {
    await engine.manager.acquire(limited);
    await engine.clock.advance(10_000);
    const closed = outcome(engine.manager.close(4000));
    await engine.clock.advance(4000);
    expect(closed.settled).toBe(true);
  });

  it('with holdAtLeast: the one before, the other after', async () => {
    const both: AcquireRequest = request({ ttl: 3000, holdAtLeast: 1000, maxHold: 2000 });
    const lock = await engine.manager.acquire(both);
    await lock.release();
    expect(await freeAt()).toBeGreaterThanOrEqual(1000);
  });
});

describe('on a driver without push', () => {
  it('lets a waiter have the key after holdAtLeast', async () => {
    const clock = new ManualClock();
    const store = new MemoryDriver({ clock });
    Object.defineProperty(store, 'capabilities', {
      value: { ...store.capabilities, queue: false, push: false },
    });
    const plain = new Engine(clock, store);
    await (await plain.manager.acquire(request({ holdAtLeast: 1000 }))).release();
    const waiting = outcome(plain.manager.acquire(request()));
    await clock.advance(999);
    expect(waiting.settled).toBe(false);
    await clock.advance(200);
    expect(waiting.settled).toBe(true);
  });
});
