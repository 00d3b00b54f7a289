import { randomUUID } from 'node:crypto';
import type { Claim } from 'nestjs-dist-lock';
import { MemoryDriver } from 'nestjs-dist-lock/memory';
import { ManualClock } from 'nestjs-dist-lock/testing';
import { beforeEach, describe, expect, it } from 'vitest';

const key = 'test:l:k';
const claim = (ttl: number): Claim => ({ key, holder: randomUUID(), ttl, instance: 'a', metadata: {} });

// What the contract cannot wait for.
describe('the memory driver', () => {
  let clock: ManualClock;
  let driver: MemoryDriver;
  beforeEach(async () => {
    clock = new ManualClock();
    driver = new MemoryDriver({ clock });
    await driver.connect(() => undefined);
  });

  it('remembers a cancelled holder for a minute, however short its TTL', async () => {
    const late = claim(100);
    await driver.cancel(late);
    clock.block(59_000);
    expect(await driver.acquire(late, 'queue')).toEqual({ status: 'refused', record: null });
    expect(await driver.inspect(key)).toBeNull();
  });

  it('keeps a lease for exactly as long as it says', async () => {
    const mine = claim(5000);
    const granted = await driver.acquire(mine, 'try');
    expect(granted).toMatchObject({ status: 'granted', ttl: 5000 });
    clock.block(4999);
    expect(await driver.inspect(key)).toMatchObject({ holder: mine.holder, remaining: 1 });
    clock.block(1);
    expect(await driver.inspect(key)).toBeNull();
  });
});
