import { describe, expect, it, vi } from 'vitest';

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
