import { LockConfigError } from 'nestjs-dist-lock';
import { beforeEach, describe, expect, it } from 'vitest';
import type { LockHandle } from '../../../lib/locks/lock.js';
import { Engine, request } from '../../support/engine/engine.js';

const COUNT = 2000;
const ttl = 30_000;

// Rules S4 and S5 of docs/internals/safety.md, for a store that is down and many leases.
describe('while the store is down', () => {
  let engine: Engine;
  let locks: LockHandle[];

  beforeEach(async () => {
    engine = new Engine();
    locks = [];
    for (let index = 0; index < COUNT; index++) {
      locks.push(await engine.manager.acquire(request({ key: `k${index}`, storeKey: `test:l:k${index}`, ttl })));
      if (index % 20 === 0) await engine.clock.advance(10);
    }
  });
  const sent = (): readonly { readonly at: number; readonly holders: readonly string[] }[] =>
    engine.driver.callsOf('renew');
  const count = (type: string): number => engine.eventTypes().filter((each) => each === type).length;

  it('one lease is tried now and then, each is reported once, and all are renewed as soon as it is back', async () => {
    await engine.clock.advance(8000);
    const before = sent().length;
    engine.driver.unreachable = true;
    await engine.clock.advance(12_750);
    const during = sent().slice(before);
    // One attempt for all, then probes: 75, 150, 300, 600 and 750 ms apart.
    expect(during.length).toBeLessThan(COUNT / 250 + 20);
    expect(during.slice(COUNT / 250).every(({ holders }) => holders.length === 1)).toBe(true);
    expect(count('at-risk')).toBe(COUNT);
    engine.driver.unreachable = false;
    const ends = new Map(locks.map(({ holder, remaining }) => [holder, remaining]));
    expect(new Set(ends.values()).size).toBeGreaterThan(50);
    const from = sent().length;
    await engine.clock.advance(1000);
    const after = sent().slice(from);
    expect(after.length).toBeLessThanOrEqual(1 + COUNT / 250);
    expect(Math.max(...after.map(({ holders }) => holders.length))).toBe(250);
    // Each once, also those that fell due while it was down.
    const renewed = after.flatMap(({ holders }) => holders);
    expect(renewed.toSorted()).toEqual(locks.map(({ holder }) => holder).toSorted());
    // Nearest to their end first.
    const order = after.slice(1).flatMap(({ holders }) => holders.map((holder) => ends.get(holder)!));
    expect(order).toEqual(order.toSorted((one, other) => one - other));
    await engine.clock.advance(60_000);
    expect(locks.every(({ held }) => held)).toBe(true);
    expect(count('at-risk')).toBe(COUNT);
    expect(count('lost')).toBe(0);
  });

  it('leases that fall due one after the other are not tried, and renewed in one go as soon as it is back', async () => {
    const other = new Engine();
    for (let index = 0; index < 30; index++) {
      await other.manager.acquire(request({ key: `k${index}`, storeKey: `test:l:k${index}`, ttl }));
      await other.clock.advance(300);
    }
    other.driver.unreachable = true;
    await other.clock.advance(12_000);
    const numbers = (): number[] => other.driver.callsOf('renew').map(({ holders }) => holders.length);
    // Those of the first tick; all others are probes.
    expect(numbers().filter((number) => number > 1)).toHaveLength(1);
    expect(other.eventTypes().filter((type) => type === 'at-risk')).toHaveLength(30);
    other.driver.unreachable = false;
    const before = numbers().length;
    await other.clock.advance(1000);
    expect(numbers().slice(before)).toEqual([1, 29]);
  });

  it('each loss is told when the lease is over, not before and not after', async () => {
    await engine.clock.advance(8000);
    engine.driver.unreachable = true;
    const ends = locks.map(({ remaining }) => engine.clock.now() + remaining);
    const lostAt = new Map<number, number>();
    locks.forEach(({ signal }, index) => signal.addEventListener('abort', () => lostAt.set(index, engine.clock.now())));
    await engine.clock.advance(ttl);
    expect(locks.map((_, index) => lostAt.get(index))).toEqual(ends);
    expect(count('lost')).toBe(COUNT);
  });

  it('nothing is left to probe for once all leases have ended', async () => {
    await engine.clock.advance(8000);
    engine.driver.unreachable = true;
    await engine.clock.advance(2 * ttl);
    const before = sent().length;
    await engine.clock.advance(10 * ttl);
    expect(sent()).toHaveLength(before);
    engine.driver.unreachable = false;
    const lock = await engine.manager.acquire(request({ ttl }));
    await engine.clock.advance(3 * ttl);
    expect(lock.held).toBe(true);
  });

  it('a driver that says that it is connected again ends the waiting for a probe', async () => {
    await engine.clock.advance(8000);
    engine.driver.unreachable = true;
    await engine.clock.advance(12_000);
    engine.driver.unreachable = false;
    const from = sent().length;
    engine.driver.say({ type: 'up' });
    await engine.clock.advance(1);
    expect(
      sent()
        .slice(from)
        .flatMap(({ holders }) => holders),
    ).toHaveLength(COUNT);
  });

  it('releases are tried for one lease now and then, and all are executed as soon as it is back', async () => {
    engine.driver.unreachable = true;
    void Promise.all(locks.map((lock) => lock.release()));
    await engine.clock.advance(10_000);
    // What was on its way, what took its place before that was known, and probes.
    expect(engine.driver.callsOf('release').length).toBeLessThan(2 * 512 + 20);
    engine.driver.unreachable = false;
    await engine.clock.advance(1000);
    const holders = engine.driver
      .callsOf('release')
      .slice(-COUNT)
      .map(({ holders: [holder] }) => holder);
    expect(new Set(holders).size).toBe(COUNT);
    expect(await engine.store.inspect('test:l:k1')).toBeNull();
    expect(await engine.store.inspect('test:l:k1999')).toBeNull();
  });

  it('a driver that says that it is connected again has all releases executed at once', async () => {
    engine.driver.unreachable = true;
    void Promise.all(locks.map((lock) => lock.release()));
    await engine.clock.advance(10_000);
    engine.driver.unreachable = false;
    engine.driver.say({ type: 'up' });
    await engine.clock.advance(1);
    for (const { key } of locks) expect(await engine.store.inspect(`test:l:${key}`)).toBeNull();
  });

  describe('in part', () => {
    /** Keys of this part do not reach the store. */
    let isDown: (part: number) => boolean;
    const partOf = (key: string): number => Number(/\d+$/.exec(key)![0]) % 100;

    beforeEach(() => {
      isDown = () => false;
      Object.assign(engine.driver, { renewalGroup: partOf });
      const { renew } = engine.store;
      engine.store.renew = (leases) =>
        leases.some(({ key }) => isDown(partOf(key)))
          ? Promise.reject(new Error('This part is down.'))
          : renew.call(engine.store, leases);
    });

    it('the leases of the other parts are renewed as ever, and its own when it is back', async () => {
      isDown = (part) => part < 50;
      await engine.clock.advance(20_000);
      expect(count('at-risk')).toBe(COUNT / 2);
      const before = sent().length;
      await engine.clock.advance(3000);
      // No more than eight probes in a round, whatever the number of parts.
      expect(
        sent()
          .slice(before)
          .filter(({ holders }) => holders.length === 1).length,
      ).toBeLessThanOrEqual(8 * 6);
      isDown = () => false;
      await engine.clock.advance(2000);
      expect(locks.every(({ remaining }) => remaining > ttl / 2)).toBe(true);
      expect(count('lost')).toBe(0);
    });

    it('one that comes back does not wait for one that does not', async () => {
      isDown = (part) => part < 50;
      await engine.clock.advance(20_000);
      isDown = (part) => part < 5;
      await engine.clock.advance(60_000);
      const lost = locks.filter(({ held }) => !held);
      expect(lost).toHaveLength((5 * COUNT) / 100);
    });
  });

  it.each([
    ['an error', new Error('Not this one.')],
    ['a mistake in the configuration', new LockConfigError('Not this one.')],
  ])('a lease that the store answers with %s, and all that are sent with it, costs no other', async (_, error) => {
    let seed = 1;
    const random = (): number => (seed = (seed * 16_807) % 2_147_483_647) / 2_147_483_647;
    const other = new Engine(engine.clock, engine.store, 'b', { random });
    const others: LockHandle[] = [];
    for (let index = 0; index < 300; index++)
      others.push(await other.manager.acquire(request({ key: `o${index}`, storeKey: `test:l:o${index}`, ttl })));
    const [bad] = others as [LockHandle];
    const { renew } = engine.store;
    engine.store.renew = (leases) =>
      leases.some(({ holder }) => holder === bad.holder) ? Promise.reject(error) : renew.call(engine.store, leases);
    await engine.clock.advance(4 * ttl);
    expect(others.filter(({ held }) => !held)).toEqual([bad]);
  });
});
