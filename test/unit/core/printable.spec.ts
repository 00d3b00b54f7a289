import { Logger } from '@nestjs/common';
import {
  DriverUnavailableError,
  LockConfigError,
  LockKeyError,
  LockLostError,
  LockNotAcquiredError,
  LockNotBoundError,
  MemberNotFoundError,
  NestedLockError,
  NotLeaderError,
  TooManyWaitingError,
} from 'nestjs-dist-lock';
import { describe, expect, it, onTestFinished } from 'vitest';
import { printable } from '../../../lib/core/printable.js';
import { SafeLogger } from '../../../lib/nest/safe-logger.js';

describe('a text from outside, in a line of a log,', () => {
  it.each<[string, string]>([
    ['order:42', 'order:42'],
    ['Zürich 東京 "x" \\n', 'Zürich 東京 "x" \\n'],
    ['😀', '😀'],
    ['a\nb', 'a\\u{a}b'],
    ['a\r\nb', 'a\\u{d}\\u{a}b'],
    ['\u001b[2J', '\\u{1b}[2J'],
    ['\u009b2J', '\\u{9b}2J'],
    ['a\0b', 'a\\u{0}b'],
    ['\u202egpj.exe', '\\u{202e}gpj.exe'],
    ['\u2066a\u2069', '\\u{2066}a\\u{2069}'],
    ['a\u2028b\u2029', 'a\\u{2028}b\\u{2029}'],
    ['a\u200bb\ufeff', 'a\\u{200b}b\\u{feff}'],
    ['\ud800', '\\u{d800}'],
    ['\u{e0041}', '\\u{e0041}'],
    ['\t', '\\u{9}'],
  ])('%j becomes %s', (text, expected) => {
    expect(printable(text)).toBe(expected);
  });

  it('stays one line', () => {
    const all = Array.from({ length: 0x3000 }, (_, code) => String.fromCharCode(code)).join('');
    expect(printable(all)).not.toMatch(/[\r\n\v\f\u0085\u2028\u2029]/);
  });
});

describe('what came from outside', () => {
  const hostile = 'a\n[Nest] 1 LOG forged\u001b[2J\u202e';

  it.each([
    new LockNotAcquiredError(hostile, 5, hostile),
    new LockLostError(hostile, 5, 'gone'),
    new NestedLockError(hostile),
    new NotLeaderError(hostile, { id: hostile }, 5),
    new MemberNotFoundError(hostile, hostile, [hostile]),
    new LockKeyError(hostile),
    new LockConfigError(hostile),
    new DriverUnavailableError(hostile, { sent: false }),
    new LockNotBoundError(hostile),
    new TooManyWaitingError(hostile, 5, hostile),
  ])('stays in one line of the message of $code', ({ message }) => {
    expect(message).toBe(printable(message));
    expect(message).toContain('a\\u{a}[Nest] 1 LOG forged\\u{1b}[2J\\u{202e}');
  });

  it('stays in one line of the log, where only a stack has lines of its own', () => {
    const lines: unknown[] = [];
    const write = (...parts: unknown[]): void => void lines.push(parts);
    Logger.overrideLogger({ log: write, warn: write, error: write });
    onTestFinished(() => Logger.overrideLogger(false));
    const logger = new SafeLogger('DistLock');
    logger.warn(hostile);
    logger.error('failed', `Error: ${hostile}\n    at f (x.js:1:1)\n    at g (x.js:2:2)`);
    expect(lines).toEqual([
      [printable(hostile), 'DistLock'],
      ['failed', `Error: ${printable(hostile)}\n    at f (x.js:1:1)\n    at g (x.js:2:2)`, 'DistLock'],
    ]);
  });
});
