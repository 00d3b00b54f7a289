import { afterEach, describe, expect, it, vi } from 'vitest';
import { MemoryDriver } from '../../lib/drivers/memory/memory.driver.js';
import { Place } from '../../lib/locks/heartbeats.js';
import { Lease } from '../../lib/locks/lease.js';
import { LockHandle } from '../../lib/locks/lock.js';
import { simulate, type SimulationResult } from './simulation.js';

const SEEDS = Array.from({ length: 150 }, (_, index) => index + 1);

async function total(seeds = SEEDS): Promise<Omit<SimulationResult, 'trace'>> {
  const sum = { grants: 0, lost: 0, beliefs: 0, disorder: 0 };
  for (const seed of seeds) {
    const { grants, lost, beliefs, disorder } = await simulate({ seed });
    sum.grants += grants;
    sum.lost += lost;
    sum.beliefs += beliefs;
    sum.disorder += disorder;
  }
  return sum;
}

// Rules S1, S2 and S7 of docs/internals/safety.md.
describe('in a simulation of lost, late and reordered messages, pauses and drifting clocks', () => {
  afterEach(() => vi.restoreAllMocks());

  it('no two instances ever believe at once, and tokens are in order', async () => {
    const { grants, lost, ...violations } = await total();
    expect(grants).toBeGreaterThan(SEEDS.length * 20);
    expect(lost).toBeGreaterThan(SEEDS.length);
    expect(violations).toEqual({ beliefs: 0, disorder: 0 });
  });

  it('a seed replays exactly', async () => {
    const [first, second, other] = [
      await simulate({ seed: 7 }),
      await simulate({ seed: 7 }),
      await simulate({ seed: 8 }),
    ];
    expect(second).toEqual(first);
    expect(other.trace).not.toBe(first.trace);
  });

  describe('control:', () => {
    it('a lock that trusts a flag instead of the clock is caught', async () => {
      vi.spyOn(LockHandle.prototype, 'held', 'get').mockImplementation(function (this: LockHandle) {
        return this.hold.shares > 0 && this.hold.loss === undefined;
      });
      expect((await total(SEEDS.slice(0, 5))).beliefs).toBeGreaterThan(0);
    });

    it('a validity that runs from the arrival of the answer is caught', async () => {
      const { renewed } = Lease.prototype;
      vi.spyOn(Lease.prototype, 'renewed').mockImplementation(function (this: Lease, anchor) {
        return renewed.call(this, anchor + 60);
      });
      expect((await total(SEEDS.slice(0, 60))).beliefs).toBeGreaterThan(0);
    });

    it('a pushed grant that runs from the arrival of the last heartbeat is caught', async () => {
      const { queued } = Place.prototype;
      vi.spyOn(Place.prototype, 'queued').mockImplementation(function (this: Place, sentAt, now, outcome) {
        queued.call(this, sentAt + 100, now, outcome);
      });
      expect((await total()).beliefs).toBeGreaterThan(0);
    });

    it('a store that starts its tokens again is caught', async () => {
      const { acquire } = MemoryDriver.prototype;
      vi.spyOn(MemoryDriver.prototype, 'acquire').mockImplementation(async function (this: MemoryDriver, claim, mode) {
        const answer = await acquire.call(this, claim, mode);
        return answer.status === 'granted' ? { ...answer, fencingToken: answer.fencingToken % 1000 } : answer;
      });
      expect((await total(SEEDS.slice(0, 5))).disorder).toBeGreaterThan(0);
    });
  });
});
