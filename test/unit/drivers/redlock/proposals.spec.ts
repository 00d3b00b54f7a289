import { describe, expect, it } from 'vitest';
import type { Clock } from '../../../../lib/core/clock.js';
import { Proposals } from '../../../../lib/drivers/redlock/proposals.js';
import { ManualClock } from '../../../../lib/testing/manual-clock.js';

let wall: number;
const clock: Clock = Object.assign(new ManualClock(), { wall: () => wall });

describe('the tokens that a driver proposes', () => {
  it('are above each other, also within a millisecond, and near the clock', () => {
    const proposals = new Proposals(clock);
    wall = 1000;
    expect([1, 2, 3].map(() => proposals.next())).toEqual(
      [1_000_000, 1_000_064, 1_000_128].map((fencingToken) => ({ fencingToken, tokens: 64 })),
    );
    wall = 1001;
    expect(proposals.next().fencingToken).toBe(1_001_000);
  });

  it('do not run away from the clock, nor stay ahead of one that was put back', () => {
    const proposals = new Proposals(clock);
    wall = 1000;
    for (let grant = 0; grant < 100_000; grant++) expect(proposals.next().fencingToken).toBeLessThan(1_500_000);
    wall = 1;
    expect(proposals.next().fencingToken).toBe(1000);
  });
});
