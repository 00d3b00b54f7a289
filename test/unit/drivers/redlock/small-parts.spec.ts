import { describe, expect, it } from 'vitest';
import { Courtesy } from '../../../../lib/drivers/redlock/courtesy.js';
import { FreedCount } from '../../../../lib/drivers/redlock/freed.js';
import { merged } from '../../../../lib/drivers/redlock/redlock-fact-store.js';

describe('a key that others wait for', () => {
  it('is left to them for a moment after a release, once', () => {
    const courtesy = new Courtesy();
    courtesy.wanted('k');
    expect(courtesy.leaves('k')).toBe(0);
    courtesy.released('other');
    expect(courtesy.leaves('other')).toBe(0);
    courtesy.released('k');
    expect(courtesy.leaves('k')).toBeGreaterThan(0);
    expect(courtesy.leaves('k')).toBe(0);
    courtesy.released('k');
    expect(courtesy.leaves('k')).toBe(0);
  });

  it('counts as free when a quorum of servers told of the same release, once', () => {
    const freed = new FreedCount(3);
    expect(['a', 'b', 'a', 'b', 'a', 'a', 'a', 'c'].map((holder) => freed.isFree(holder))).toEqual([
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
