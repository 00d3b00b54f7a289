import { describe, expect, it } from 'vitest';
import { type Belief, checkHistory } from '../../support/history/history.js';

const clean = { duplicateTokens: [], overlaps: [], tokenOrderViolations: [], staleWrites: [] };

function belief(id: string, token: number, from: number, until: number): Belief {
  return { id, token, from, until };
}

describe('checkHistory', () => {
  it('finds nothing in a correct history, in whatever order it was recorded', () => {
    const history = [belief('a', 7, 40, 55), belief('b', 2, 10, 30), belief('a', 1, 0, 10), belief('c', 3, 30.5, 40)];
    expect(checkHistory(history, [1, 1, 2, 7, 7])).toEqual(clean);
  });

  it('finds a token that was granted more than once, and says so once', () => {
    const history = [belief('a', 1, 0, 10), belief('b', 1, 20, 30), belief('c', 1, 40, 50), belief('a', 2, 60, 70)];
    expect(checkHistory(history, [])).toEqual({ ...clean, duplicateTokens: [1] });
  });

  it('finds holders that believed at the same time, also beyond their neighbours', () => {
    const [long, short, late] = [belief('a', 1, 0, 100), belief('b', 2, 10, 20), belief('c', 3, 99, 110)];
    expect(checkHistory([late, short, long], [])).toEqual({
      ...clean,
      overlaps: [
        [long, short],
        [long, late],
      ],
    });
  });

  it('finds one holder that believed twice at the same time', () => {
    const [first, second] = [belief('a', 1, 0, 10), belief('a', 2, 9, 20)];
    expect(checkHistory([first, second], []).overlaps).toEqual([[first, second]]);
  });

  it('finds a token that is smaller than one before it, also beyond its neighbours', () => {
    const [high, middle, low] = [belief('a', 5, 0, 10), belief('b', 6, 10, 20), belief('c', 4, 20, 30)];
    expect(checkHistory([high, middle, low], [])).toEqual({ ...clean, tokenOrderViolations: [[high, low]] });
  });

  it('finds writes that the resource accepted after a higher token', () => {
    expect(checkHistory([], [1, 3, 2, 3, 1, 4])).toEqual({ ...clean, staleWrites: [2, 1] });
  });

  it.each([belief('a', 1, 10, 9), belief('a', 1, Number.NaN, 9), belief('a', Number.NaN, 0, 9)])(
    'refuses to judge what is not a belief: %o',
    (malformed) => {
      expect(() => checkHistory([malformed], [])).toThrow(RangeError);
    },
  );
});
