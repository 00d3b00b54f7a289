import { expect, it } from 'vitest';
import { EndedHolders } from '../../../../lib/drivers/etcd/ended-holders.js';
import { ManualClock } from '../../../../lib/testing/manual-clock.js';

const holder = { key: 'test:l:k', holder: 'late', ttl: 1000 };

it('a cancelled holder is remembered for a minute, however short its TTL', () => {
  const clock = new ManualClock();
  const ended = new EndedHolders(clock);
  ended.add(holder);
  clock.block(59_000);
  expect(ended.has('late')).toBe(true);
  expect(ended.has('another')).toBe(false);
});
