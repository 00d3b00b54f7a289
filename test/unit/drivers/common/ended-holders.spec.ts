import { describe, expect, it } from 'vitest';
import { EndedHolders } from '../../../../lib/drivers/common/ended-holders.js';
import { ManualClock } from '../../../../lib/testing/manual-clock.js';

describe('holders that were cancelled', () => {
  it('are each remembered for a minute, and not for longer because of one before', async () => {
    const clock = new ManualClock();
    const ended = new EndedHolders(clock);
    ended.add('a');
    await clock.advance(30_000);
    ended.add('b');
    await clock.advance(29_000);
    expect([ended.has('a'), ended.has('b')]).toEqual([true, true]);
    await clock.advance(2000);
    expect([ended.has('a'), ended.has('b')]).toEqual([false, true]);
    await clock.advance(30_000);
    expect(ended.has('b')).toBe(false);
    expect(ended.size).toBe(0);
  });

  it('are remembered from the last time on', async () => {
    const clock = new ManualClock();
    const ended = new EndedHolders(clock);
    for (const holder of ['a', 'b', 'a']) {
      ended.add(holder);
      await clock.advance(30_000);
    }
    expect([ended.has('a'), ended.has('b'), ended.size]).toEqual([true, false, 1]);
  });

  it('are forgotten also when nobody asks', async () => {
    const clock = new ManualClock();
    const ended = new EndedHolders(clock);
    for (let cancelled = 0; cancelled < 1000; cancelled++) {
      ended.add(`h${cancelled}`);
      await clock.advance(1000);
    }
    expect(ended.size).toBeLessThanOrEqual(61);
  });
});
