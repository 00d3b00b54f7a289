import { LockLostError, LockNotAcquiredError } from 'nestjs-dist-lock';
import { MemoryDriver } from 'nestjs-dist-lock/memory';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { SystemClock } from '../../../lib/core/clock.js';
import { LockManager } from '../../../lib/locks/lock-manager.js';
import { Candidate } from '../../support/engine/candidate.js';
import { outcome, request } from '../../support/engine/engine.js';
import { FaultyDriver } from '../../support/engine/faulty-driver.js';

/** Milliseconds within which a suspend is noticed by a process that does nothing but wait. */
const NOTICED = 1001;
const jumps = [
  ['1.1 s', 1100],
  ['5 s', 5000],
  ['10 h', 36_000_000],
] as const;

// Rules S2, S3 and S5 of docs/internals/safety.md: a read is right at once, and the message follows.
describe('a suspend', () => {
  let slept = 0;
  let clock: SystemClock;
  const wall = (): number => 1_700_000_000_000 + performance.now() + slept;

  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
    slept = 0;
    clock = new SystemClock(() => performance.now(), wall);
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  function engine(): { manager: LockManager; driver: FaultyDriver } {
    const driver = new FaultyDriver(new MemoryDriver({ clock }), clock);
    const manager = new LockManager({ driver, instance: 'a', clock, random: () => 0.5, emit: () => {} });
    return { driver, manager };
  }

  describe.each(jumps)('of %s', (_, jump) => {
    it.each([500, 3000, 30_000])('fires a timer of %d ms as if it had counted the sleep', async (milliseconds) => {
      const fired = vi.fn<() => void>();
      clock.after(milliseconds, fired);
      await vi.advanceTimersByTimeAsync(100);
      slept += jump;
      const left = Math.max(1, Math.min(milliseconds - 100, Math.max(NOTICED - 100, milliseconds - 100 - jump)));
      await vi.advanceTimersByTimeAsync(left - 1);
      expect(fired).not.toHaveBeenCalled();
      await vi.advanceTimersByTimeAsync(1);
      expect(fired).toHaveBeenCalledOnce();
    });

    it('fires what is due when anybody reads the clock, but not inside of that call', async () => {
      const fired = vi.fn<() => void>();
      clock.after(jump, fired);
      clock.after(jump + 2000, fired);
      slept += jump;
      clock.now();
      expect(fired).not.toHaveBeenCalled();
      await vi.advanceTimersByTimeAsync(1);
      expect(fired).toHaveBeenCalledOnce();
    });

    it('fires no timer that was cancelled, and none twice', async () => {
      const fired = vi.fn<() => void>();
      clock.after(200, fired).cancel();
      const timer = clock.after(300, fired);
      slept += jump;
      clock.now();
      await vi.advanceTimersByTimeAsync(1);
      expect(fired).toHaveBeenCalledOnce();
      timer.cancel();
      await vi.advanceTimersByTimeAsync(60_000);
      expect(fired).toHaveBeenCalledOnce();
    });

    it('aborts the signal of a lock that is held', async () => {
      const { manager } = engine();
      const lock = await manager.acquire(request({ ttl: jump, renewEvery: jump - 50 }));
      const { signal } = lock;
      slept += jump;
      await vi.advanceTimersByTimeAsync(NOTICED);
      expect(signal.reason).toBeInstanceOf(LockLostError);
      expect(lock.held).toBe(false);
    });

    it('ends the waiting of a caller whose time is over', async () => {
      const { manager, driver } = engine();
      await manager.acquire(request({ ttl: 100_000_000 }));
      const waiting = outcome(manager.acquire(request({ limit: { wait: jump } })));
      await vi.advanceTimersByTimeAsync(10);
      driver.deaf = true;
      slept += jump;
      await vi.advanceTimersByTimeAsync(NOTICED);
      expect(waiting.error).toBeInstanceOf(LockNotAcquiredError);
    });

    it('ends a term', async () => {
      const { manager, driver } = engine();
      const candidate = new Candidate({ manager, driver }, 'a', {
        leaseDuration: jump + 1000,
        renewDeadline: jump,
        retryPeriod: jump * 0.8,
      });
      await candidate.start();
      await vi.advanceTimersByTimeAsync(10);
      const { signal } = candidate.leader.state.term!;
      slept += jump;
      await vi.advanceTimersByTimeAsync(NOTICED);
      expect(signal.aborted).toBe(true);
      expect(candidate.states.some(({ role }) => role === 'stepping-down')).toBe(true);
      expect(candidate.leader.state.role === 'leader' && candidate.leader.state.term?.signal === signal).toBe(false);
      driver.unreachable = true;
      await Promise.all([candidate.leader.stop('end'), vi.advanceTimersByTimeAsync(30_000)]);
    });
  });

  it('is noticed however long the process has waited before', async () => {
    const fired = vi.fn<() => void>();
    clock.after(30_000, fired);
    await vi.advanceTimersByTimeAsync(10_500);
    slept += 60_000;
    await vi.advanceTimersByTimeAsync(NOTICED);
    expect(fired).toHaveBeenCalledOnce();
  });

  it('is not looked for while no timer is pending', async () => {
    clock.after(1500, () => {});
    expect(vi.getTimerCount()).toBe(2);
    await vi.advanceTimersByTimeAsync(3000);
    expect(vi.getTimerCount()).toBe(0);
  });
});

// Rule S3 of docs/internals/safety.md.
describe('the clocks of one process', () => {
  afterEach(() => {
    vi.useRealTimers();
    vi.resetModules();
  });

  /** The wall clock goes ahead by five seconds and back, while only one of two clocks is looked at. */
  async function backAndForth(clocks: readonly [SystemClock, SystemClock]): Promise<[number, number]> {
    const [looked, other] = clocks;
    const before = [looked.now(), other.now()] as const;
    const time = Date.now();
    vi.setSystemTime(time + 5000);
    looked.now();
    vi.setSystemTime(time);
    return [looked.now() - before[0], other.now() - before[1]];
  }

  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['Date', 'performance'] });
  });

  it('count the same suspends', async () => {
    expect(await backAndForth([new SystemClock(), new SystemClock()])).toEqual([5000, 5000]);
  });

  it('count the same suspends over two copies of this package', async () => {
    vi.resetModules();
    const copy = await import('../../../lib/core/clock.js');
    expect(copy.SystemClock).not.toBe(SystemClock);
    expect(await backAndForth([new SystemClock(), new copy.SystemClock()])).toEqual([5000, 5000]);
    expect(await backAndForth([new copy.SystemClock(), new SystemClock()])).toEqual([5000, 5000]);
  });

  it('read the same', () => {
    const [first, second] = [new SystemClock(), new SystemClock()];
    for (const step of [0, 1500, -4000, 700, 36_000_000]) {
      vi.setSystemTime(Date.now() + step);
      vi.advanceTimersByTime(10);
      expect(first.now()).toBe(second.now());
    }
  });

  /** What two instances believe after a lock of the first one ran out for the store alone. */
  async function holders(clocks: () => SystemClock): Promise<number> {
    const driver = new MemoryDriver({ clock: clocks() });
    const [first, second] = ['a', 'b'].map(
      (instance) => new LockManager({ driver, instance, clock: clocks(), random: () => 0.5, emit: () => {} }),
    ) as [LockManager, LockManager];
    const lock = await first.acquire(request({ ttl: 3000 }));
    const time = Date.now();
    vi.setSystemTime(time + 5000);
    // The store looks, the holder does not.
    await driver.inspect('test:l:k');
    vi.setSystemTime(time);
    const other = await second.tryAcquire(request({ ttl: 3000, limit: { attempts: 1, retryDelay: 0 } }));
    const count = Number(lock.held) + Number(other?.held ?? false);
    await Promise.all([first.close(0), second.close(0)]);
    return count;
  }

  it('have one holder on the memory driver, when the wall clock went ahead and back', async () => {
    expect(await holders(() => new SystemClock())).toBe(1);
  });

  it('[control] which would be two, if each counted for itself', async () => {
    const separate = (): SystemClock =>
      new SystemClock(
        () => performance.now(),
        () => Date.now(),
      );
    expect(await holders(separate)).toBe(2);
  });
});
