import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, it } from 'vitest';
import type { Claim } from '../../../../lib/core/lock-driver.js';
import { MemoryDriver } from '../../../../lib/drivers/memory/memory.driver.js';
import { ManualClock } from '../../../../lib/testing/manual-clock.js';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

const claimOf = (key: string, ttl: number): Claim => ({
  key,
  holder: `holder of ${key}`,
  ttl,
  instance: 'i',
  metadata: {},
});

/** How many of these claims the driver still knows: nobody else does. */
async function known(claims: readonly WeakRef<Claim>[]): Promise<number> {
  // What a test held in a tick is collected in a later one.
  await sleep(1);
  collectGarbage();
  return claims.filter((claim) => claim.deref()).length;
}

const ways: Record<string, (driver: MemoryDriver, claim: Claim) => Promise<unknown>> = {
  'a lease that nobody gave back': (driver, claim) => driver.acquire(claim, 'try'),
  'a waiter that died, as did the holder': async (driver, claim) => {
    await driver.acquire({ ...claim, holder: 'another' }, 'try');
    await driver.acquire(claim, 'queue');
  },
};

it.each(Object.entries(ways))('the memory driver forgets %s', async (_, leave) => {
  const clock = new ManualClock();
  const driver = new MemoryDriver({ clock });
  await driver.connect(() => {});
  const one = async (index: number): Promise<WeakRef<Claim>> => {
    const claim = claimOf(`k${index}`, 1000);
    await leave(driver, claim);
    return new WeakRef(claim);
  };
  const claims = await Promise.all([...Array(100).keys()].map(one));
  // The control: one that lasts is kept.
  const lasting = new WeakRef(claimOf('lasting', 1_000_000));
  await driver.acquire(lasting.deref()!, 'try');
  await clock.advance(130_000);
  expect(await known(claims)).toBe(0);
  expect(await known([lasting])).toBe(1);
  expect(await driver.inspect('lasting')).toMatchObject({ holder: 'holder of lasting' });
});
