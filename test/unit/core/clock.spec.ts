import { describe, expect, it, vi } from 'vitest';
import { SystemClock } from '../../../lib/core/clock.js';
import { LONGEST_DURATION } from '../../../lib/core/duration.js';

// Rule S3 of docs/internals/safety.md.
describe('SystemClock', () => {
  function clockAt(): { clock: SystemClock; time: { monotonic: number; wall: number } } {
    const time = { monotonic: 1000, wall: 5_000_000 };
    return {
      clock: new SystemClock(
        () => time.monotonic,
        () => time.wall,
      ),
      time,
    };
  }
  const pass = (time: { monotonic: number; wall: number }, monotonic: number, wall = monotonic): void => {
    time.monotonic += monotonic;
    time.wall += wall;
  };

  it('follows the monotonic clock', () => {
    const { clock, time } = clockAt();
    const start = clock.now();
    pass(time, 250);
    expect(clock.now() - start).toBe(250);
  });

  it('adds the time of a suspend, in which only the wall clock went on', () => {
    const { clock, time } = clockAt();
    const start = clock.now();
    pass(time, 10, 60_010);
    expect(clock.now() - start).toBe(60_010);
    pass(time, 5);
    expect(clock.now() - start).toBe(60_015);
  });

  it('ignores adjustments of the wall clock of up to a second, also when they add up', () => {
    const { clock, time } = clockAt();
    const start = clock.now();
    for (let step = 0; step < 10; step++) {
      pass(time, 100, 1100);
      clock.now();
    }
    expect(clock.now() - start).toBe(1000);
  });

  it('never goes back, however far the wall clock is set back, and sees a suspend after that', () => {
    const { clock, time } = clockAt();
    const start = clock.now();
    pass(time, 10, -7_200_000);
    expect(clock.now() - start).toBe(10);
    pass(time, 10, 5010);
    expect(clock.now() - start).toBe(5020);
  });

  it('keeps the process alive by the timers that are meant to, and by no other', () => {
    const setTimeout = vi.spyOn(globalThis, 'setTimeout');
    const clock = new SystemClock(
      () => performance.now(),
      () => Date.now(),
    );
    const timers = [true, false, undefined].map((keepAlive) => {
      setTimeout.mockClear();
      const timer = clock.after(1000, () => undefined, keepAlive);
      const refs = setTimeout.mock.results.filter(({ value }) => (value as NodeJS.Timeout).hasRef());
      return { timer, refs: refs.length };
    });
    setTimeout.mockRestore();
    for (const { timer } of timers) timer.cancel();
    expect(timers.map(({ refs }) => refs)).toEqual([1, 0, 0]);
  });

  it('runs timers that do not keep the process alive, also for the longest duration', async () => {
    const clock = new SystemClock();
    await new Promise<void>((resolve) => void clock.after(1, resolve));
    let fired = false;
    const timer = clock.after(LONGEST_DURATION * 2, () => (fired = true));
    await new Promise<void>((resolve) => void clock.after(5, resolve));
    timer.cancel();
    expect(fired).toBe(false);
  });
});
