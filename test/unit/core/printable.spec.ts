import { describe, expect, it } from 'vitest';
import { printable } from '../../../lib/core/printable.js';

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
