import { LockConfigError, LockKeyError } from 'nestjs-dist-lock';
import { describe, expect, it } from 'vitest';
import { backoff } from '../../../lib/core/backoff.js';
import { toMilliseconds } from '../../../lib/core/duration.js';
import { promiseTry } from '../../../lib/core/promise-try.js';
import { electionStoreKey, lockStoreKey, namespaceOf } from '../../../lib/core/store-key.js';
import { checkAcquireOptions } from '../../../lib/locks/acquire-options.js';

describe('durations', () => {
  it.each([
    [5000, 5000],
    ['500ms', 500],
    ['30s', 30_000],
    ['1.5m', 90_000],
    ['2 h', 7_200_000],
    ['24d', 24 * 86_400_000],
    [0.2, 1],
  ])('%s is %i ms', (duration, milliseconds) => {
    expect(toMilliseconds(duration, 'ttl')).toBe(milliseconds);
  });

  it.each(['5x', '', 's', '-5s', '1e3', NaN, Infinity, null, undefined, {}, true])('%s is refused', (value) => {
    expect(() => toMilliseconds(value as number, 'lock.ttl')).toThrow(LockConfigError);
    expect(() => toMilliseconds(value as number, 'lock.ttl')).toThrow(
      /^lock\.ttl: .* is not a duration\. Use milliseconds/,
    );
  });

  it.each([0, -1, '0s', '25d', 24 * 86_400_000 + 1])('%s is out of range', (value) => {
    expect(() => toMilliseconds(value, 'ttl')).toThrow(/out of range. Use more than 0 and at most 24 days/);
  });
});

describe('promiseTry', () => {
  it('gives a promise of a value, and passes a promise on', async () => {
    const promise = Promise.resolve(1);
    expect(promiseTry(() => promise)).toBe(promise);
    expect(promiseTry(() => 1)).toBeInstanceOf(Promise);
    expect(await promiseTry(() => 1)).toBe(1);
  });

  it('gives a rejection of what is thrown, before or after a promise is returned', async () => {
    const error = new TypeError('wrong');
    const fail = (): never => {
      throw error;
    };
    await expect(promiseTry(fail)).rejects.toBe(error);
    await expect(promiseTry(() => Promise.reject(error))).rejects.toBe(error);
  });
});

describe('names in the store', () => {
  it('keep locks, elections and namespaces apart', () => {
    expect(lockStoreKey('billing', 'order:1')).toBe('billing:l:order:1');
    expect(electionStoreKey('billing', 'default')).toBe('billing:e:default');
    expect(namespaceOf('billing.eu:l:a:b')).toBe('billing.eu');
    expect(lockStoreKey('billing', 'x')).not.toBe(electionStoreKey('billing', 'x'));
  });

  it.each([
    ['', /not empty/],
    ['x'.repeat(501), /has 501 characters; at most 500/],
    ['a\ud800', /half a surrogate pair/],
    [undefined, /must be a string/],
  ])('refuse a wrong key', (key, message) => {
    expect(() => lockStoreKey('n', key as string)).toThrow(LockKeyError);
    expect(() => lockStoreKey('n', key as string)).toThrow(message);
  });

  it('accept a key of 500 characters', () => {
    expect(lockStoreKey('n', 'x'.repeat(500))).toHaveLength(504);
  });
});

describe('options of a call', () => {
  it.each([
    [{ ttl: '5x' }, /ttl: "5x" is not a duration/],
    [{ ttl: 50 }, /ttl: 50 ms is under the minimum of 100 ms/],
    [{ ttl: 1001 }, /ttl: 1001 ms is over the maximum of 1000 ms, .* Set a shorter one/],
    [{ wait: 0 }, /wait: 0 is no time to wait; use tryAcquire\(\)/],
    [{ wait: -1 }, /wait: -1 is out of range/],
    [{ wait: '1s', attempts: 3 }, /wait and attempts: give one of them/],
    [{ attempts: 0 }, /attempts: expected a whole number above 0/],
    [{ attempts: 1.5 }, /attempts: expected a whole number/],
    [{ retryDelay: 5 }, /retryDelay: has no effect without attempts/],
    [{ attempts: 2, retryDelay: NaN }, /retryDelay: .* is not a duration/],
    [{ timeout: 5 }, /timeout: unknown option\. Known: ttl, metadata/],
    [{ reentrant: 'yes' }, /reentrant: expected a boolean/],
    [{ metadata: { a: 1 } }, /metadata: expected an object whose values are strings/],
    [{ signal: {} }, /signal: expected an AbortSignal/],
    [{ unavailable: 'never' }, /unavailable: expected 'wait' or 'reject'/],
    [{ unavailable: true }, /unavailable: expected 'wait' or 'reject'/],
    [{ holdAtLeast: '5x' }, /holdAtLeast: "5x" is not a duration/],
    [{ holdAtLeast: 0 }, /holdAtLeast: 0 is out of range/],
    [{ holdAtLeast: null }, /holdAtLeast: null is not a duration/],
    [
      { ttl: 500, holdAtLeast: 501 },
      /holdAtLeast: 501 ms is longer than the ttl of 500 ms, .* Set ttl to 501 ms or more/,
    ],
    [{ holdAtLeast: 801 }, /holdAtLeast: 801 ms is longer than the ttl of 800 ms/],
    [{ maxHold: -5 }, /maxHold: -5 is out of range/],
    [{ maxHold: 'forever' }, /maxHold: "forever" is not a duration/],
    [{ maxHold: '25d' }, /maxHold: "25d" is out of range/],
    [{ holdAtLeast: 500, maxHold: 500 }, /maxHold: 500 ms must be longer than the holdAtLeast of 500 ms/],
    [
      { holdAtLeast: '1s', maxHold: '0.5s', ttl: 1000 },
      /maxHold: 500 ms must be longer than the holdAtLeast of 1000 ms/,
    ],
    [{ metadata: null }, /metadata: expected an object whose values are strings/],
    [{ metadata: ['a'] }, /metadata: expected an object whose values are strings/],
    [{ metadata: { a: 'x'.repeat(4089) } }, /metadata: 4097 bytes as JSON are more than the 4096 .*keep their id here/],
    [{ metadata: { a: 'é'.repeat(2045) } }, /metadata: 4098 bytes/],
    [{ metadata: { a: '\n'.repeat(2045) } }, /metadata: 4098 bytes/],
  ])('%j is refused', (options, message) => {
    const check = (): unknown => checkAcquireOptions(options as never, 'Lock "k"', { minTtl: 100, maxTtl: 1000 }, 800);
    expect(check).toThrow(LockConfigError);
    expect(check).toThrow(/^Lock "k": /);
    expect(check).toThrow(message);
  });

  it('take a time to hold the lock at least, up to the TTL, and one at most', () => {
    const options = { ttl: '1s', holdAtLeast: '1s', maxHold: 1001 };
    expect(checkAcquireOptions(options, 'X')).toMatchObject({ ttl: 1000, holdAtLeast: 1000, maxHold: 1001 });
    expect(checkAcquireOptions({ holdAtLeast: 800 }, 'X', { minTtl: 0 }, 800)).toMatchObject({ holdAtLeast: 800 });
    expect(checkAcquireOptions({ maxHold: 1 }, 'X', { minTtl: 0 }, 800)).toMatchObject({ maxHold: 1 });
  });

  it('take metadata of 4096 bytes', () => {
    expect(checkAcquireOptions({ metadata: { a: 'x'.repeat(4088) } }, 'X').metadata).toBeDefined();
  });

  it('names everything that is wrong at once', () => {
    expect(() => checkAcquireOptions({ ttl: 0, wait: 'soon', attempts: -1 }, 'X')).toThrow(
      /ttl: .*wait and attempts.*attempts: /,
    );
  });
});

describe('backoff', () => {
  it('doubles up to its cap, spread over the upper half', () => {
    const spread = (random: number): number[] =>
      [0, 1, 2, 3, 50].map((attempt) => backoff(attempt, 100, 500, () => random));
    expect(spread(0)).toEqual([50, 100, 200, 250, 250]);
    expect(spread(0.999_999).map(Math.round)).toEqual([100, 200, 400, 500, 500]);
  });
});
