import { describe, expect, it, vi } from 'vitest';
import { toEvent } from '../../../../lib/drivers/redis/lease-format.js';

describe('what the store keeps of a claim', () => {
  it.each([[['', 'a', '', 'b']], [['a', '']]])('can be read again, whoever asked before: %j', async (instances) => {
    vi.resetModules();
    const { NO_METADATA } = await import('../../../../lib/core/lock-driver.js');
    const { recordOf, tailOf } = await import('../../../../lib/drivers/redis/lease-format.js');
    for (const instance of instances) {
      for (const metadata of [NO_METADATA, { by: 'me' }]) {
        const tail = tailOf({ key: 'test:l:k', holder: 'h', ttl: 1000, instance, metadata });
        expect(recordOf(1000, `h 7 inbox 1700000000123456 ${tail}`, 0)).toEqual({
          holder: 'h',
          instance,
          metadata,
          fencingToken: 7,
          since: 1_700_000_000_123,
          remaining: 1000,
          waiters: 0,
        });
      }
    }
  });
});

describe('what comes over an inbox', () => {
  it('is the message of a script', () => {
    expect(toEvent('contended {test:l:a }b\n}')).toEqual({ type: 'contended', key: 'test:l:a }b\n' });
    expect(toEvent('granted h 7 64 2000 0 {test:l:k}')).toEqual({
      type: 'granted',
      status: 'granted',
      key: 'test:l:k',
      holder: 'h',
      fencingToken: 7,
      tokens: 64,
      ttl: 2000,
      waiters: 0,
    });
  });

  it.each([
    '',
    'granted',
    'granted h 7 64 2000 0',
    'granted h 7 64 2000 0 test:l:k',
    'granted h 7 64 2000 0 {test:l:k} more',
    'granted h 7 64 2000 0 {test:l:k}\n',
    ' granted h 7 64 2000 0 {test:l:k}',
    'granted  h 7 64 2000 0 {test:l:k}',
    'Granted h 7 64 2000 0 {test:l:k}',
    'queued h 7 64 2000 0 {test:l:k}',
    'granted h 7 64 2000 0 0 {test:l:k}',
    'granted h 7 64 2000 {test:l:k}',
    ...['0', '-7', '7.5', '7e3', '0x7', '٧', 'NaN', 'Infinity', String(2 ** 53), '9'.repeat(400)].flatMap((number) => [
      `granted h ${number} 64 2000 0 {test:l:k}`,
      `granted h 7 ${number} 2000 0 {test:l:k}`,
      `granted h 7 64 ${number} 0 {test:l:k}`,
    ]),
    ...['-1', '0.5', String(2 ** 53), 'none'].map((number) => `granted h 7 64 2000 ${number} {test:l:k}`),
    'contended',
    'contended test:l:k',
    'contended {test:l:k} more',
    'changed',
    '{"type":"granted"}',
  ])('or is none: %j', (message) => {
    expect(toEvent(message)).toBeUndefined();
  });

  it.each([16_000, 1_000_000])('is read in no time, whatever it is: %i characters', (length) => {
    for (const part of ['granted ', '1 ', '{', '}', ' ', '\n', 'contended {']) {
      const text = part.repeat(length / part.length);
      const startedAt = performance.now();
      for (const message of [text, `granted ${text}`, `granted h 1 1 1 1 {${text}`, `contended {${text}`])
        toEvent(message);
      expect(performance.now() - startedAt).toBeLessThan(500);
    }
  });
});
