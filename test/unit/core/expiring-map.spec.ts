import { expect, it } from 'vitest';
import { ExpiringMap } from '../../../lib/core/expiring-map.js';
import { ManualClock } from '../../../lib/testing/manual-clock.js';

it('keeps what lasts, and of what has ended no more than as many', async () => {
  const clock = new ManualClock();
  const map = new ExpiringMap<number>(clock);
  // The first one outlives all that come after it, and must not keep them.
  map.set('long', 0, 1_000_000);
  for (let index = 0; index < 10_000; index++) {
    map.set(`short ${index}`, index, 10);
    await clock.advance(index % 100 === 0 ? 10 : 0);
    expect(map.size).toBeLessThanOrEqual(2 * 101 + 2);
  }
  expect(map.get('long')).toBe(0);
  expect(map.get('short 9999')).toBe(9999);
  clock.block(10);
  expect(map.get('short 9999')).toBeUndefined();
  expect([...map.live().keys()]).toEqual(['long']);
  expect(map.size).toBe(1);
});
