import { describe, expect, it } from 'vitest';
import { below, factKey, numberKey, claimKey } from '../../../../lib/drivers/etcd/names.js';

const names = [
  'test:l:a',
  'test:l:a/b',
  'test:l:a%2Fb',
  'test:l:a%',
  'test:l:a%n',
  'test:l:a0',
  'test:l:a/',
  'test:l:/a',
];

describe('the keys in etcd', () => {
  it.each(names)('below %s are those of that name only', (name) => {
    const { key, rangeEnd } = below(name);
    const found = names.flatMap((other) =>
      [claimKey(other, 'h'), factKey(other, 'a/b'), numberKey(other, 'a/b')]
        .filter((each) => each >= key && each < rangeEnd)
        .map((each) => [other, each]),
    );
    expect(found.map(([other]) => other)).toEqual([name, name]);
  });
});
