import { describe, expect, it } from 'vitest';
import { quorumOf, timeoutOf } from '../../../../lib/drivers/redlock/quorum.js';

describe('a quorum', () => {
  it.each([3, 5, 7, 9, 101])('of %i shares one with any other, and bears the loss of the rest', (size) => {
    const quorum = quorumOf(size);
    expect(2 * quorum - size).toBe(1);
    expect(size - (quorum - 1)).toBe(quorum);
  });

  it('waits for one server 5 % of the TTL, within bounds', () => {
    expect([100, 1000, 4000, 8000, 30_000].map(timeoutOf)).toEqual([50, 50, 200, 400, 400]);
  });
});
