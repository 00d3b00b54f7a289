import { LockConfigError } from 'nestjs-dist-lock';
import { ManualClock } from 'nestjs-dist-lock/testing';
import { describe, expect, it } from 'vitest';

describe('a manual clock', () => {
  it.each([
    ['1h', 3_600_000],
    ['1.5s', 1500],
    [250, 250],
    [0.25, 0.25],
    [0, 0],
    [1e12, 1e12],
  ])('is moved by %j', async (time, milliseconds) => {
    const clock = new ManualClock();
    await clock.advance(time);
    expect(clock.now()).toBe(milliseconds);
    clock.block(time);
    expect(clock.now()).toBe(2 * milliseconds);
  });

  it.each([NaN, -1, Infinity, '1 hour', '', undefined, null, {}])('refuses %j, and stays as it was', async (time) => {
    const clock = new ManualClock();
    await expect(clock.advance(time as never)).rejects.toThrow(LockConfigError);
    expect(() => clock.block(time as never)).toThrow(/^ManualClock\.block\(\): /);
    expect(clock.now()).toBe(0);
  });
});
