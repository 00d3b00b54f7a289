import { describe, expect, it } from 'vitest';
import { Fairness } from '../../../../lib/drivers/redlock/fairness.js';
import { merged } from '../../../../lib/drivers/redlock/redlock-fact-store.js';
import { ManualClock } from '../../../../lib/testing/manual-clock.js';

describe('a key that others wait for', () => {
  it('is left to them for a moment after a release, once', () => {
    const clock = new ManualClock();
    const fairness = new Fairness(2, clock, () => 0);
    fairness.wanted('k');
    expect(fairness.leaves('k')).toBe(0);
    fairness.released('other');
    expect(fairness.leaves('other')).toBe(0);
    fairness.released('k');
    clock.block(2);
    expect(fairness.leaves('k')).toBe(4);
    expect(fairness.leaves('k')).toBe(0);
    fairness.released('k');
    expect(fairness.leaves('k')).toBe(0);
  });

  it('is left to nobody once the moment is over', () => {
    const clock = new ManualClock();
    const fairness = new Fairness(2, clock, () => 0);
    fairness.wanted('k');
    fairness.released('k');
    clock.block(7);
    expect(fairness.leaves('k')).toBe(0);
  });

  it('counts as free when a quorum of servers announced the same release, once', () => {
    const fairness = new Fairness(3, new ManualClock(), () => 0);
    expect(['a', 'b', 'a', 'b', 'a', 'a', 'a', 'c'].map((holder) => fairness.isFree(holder))).toEqual([
      false,
      false,
      false,
      false,
      true,
      false,
      false,
      false,
    ]);
  });
});

describe('the facts that servers list', () => {
  const lists = (...all: Record<string, string>[]): Map<string, string>[] =>
    all.map((list) => new Map(Object.entries(list)));
  it.each<[string, Map<string, string>[], number, Record<string, string>]>([
    ['the newest value counts', lists({ a: '1 old' }, { a: '2 new one' }, { a: '1 old' }), 0, { a: 'new one' }],
    ['what a quorum has is there', lists({ a: '1 x' }, { a: '1 x' }, {}), 0, { a: 'x' }],
    ['also when one of them does not answer', lists({ a: '1 x' }, {}), 1, { a: 'x' }],
    ['what was removed from a quorum is not', lists({ a: '1 x' }, {}, {}), 0, {}],
    ['nor of five', lists({ a: '1 x', b: '1 y' }, { a: '1 x', b: '1 y' }, { b: '1 y' }, {}, {}), 0, { b: 'y' }],
    ['of five without two', lists({ a: '1 x' }, {}, {}), 2, { a: 'x' }],
  ])('%s', (_, answers, missing, expected) => {
    expect(Object.fromEntries(merged(answers, missing))).toEqual(expected);
  });
});
