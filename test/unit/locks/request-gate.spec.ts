import { setImmediate } from 'node:timers/promises';
import { DriverUnavailableError, LockNotAcquiredError, LockServiceClosedError } from 'nestjs-dist-lock';
import { MemoryDriver } from 'nestjs-dist-lock/memory';
import { ManualClock } from 'nestjs-dist-lock/testing';
import { describe, expect, it } from 'vitest';
import type { AcquireMode, Claim, LeaseRef } from '../../../lib/core/lock-driver.js';
import { LockManager } from '../../../lib/locks/lock-manager.js';
import type { AcquireRequest } from '../../../lib/locks/lock-request.js';
import { RequestGate } from '../../../lib/locks/request-gate.js';
import { WaitingCallers } from '../../../lib/locks/wait-limit.js';
import { outcome, request } from '../../support/engine/engine.js';

/** A store that answers when a test says so, and notes what it was asked for. */
class SlowDriver extends MemoryDriver {
  readonly calls: string[] = [];
  underWay = 0;
  most = 0;
  isSlow = true;
  #answers: (() => void)[] = [];

  override acquire(claim: Claim, mode: AcquireMode): ReturnType<MemoryDriver['acquire']> {
    return this.#slowly(`acquire ${claim.key}`, () => super.acquire(claim, mode));
  }

  override cancel(claim: Claim): Promise<void> {
    return this.#slowly(`cancel ${claim.key}`, () => super.cancel(claim));
  }

  override release(lease: LeaseRef, to?: string): Promise<boolean> {
    return this.#slowly(`release ${lease.key}`, () => super.release(lease, to));
  }

  override renew(leases: readonly LeaseRef[]): ReturnType<MemoryDriver['renew']> {
    this.calls.push(`renew ${leases.map(({ key }) => key).join(' ')}`);
    return super.renew(leases);
  }

  answer(count = this.#answers.length): void {
    for (const answer of this.#answers.splice(0, count)) answer();
  }

  async #slowly<T>(call: string, execute: () => Promise<T>): Promise<T> {
    this.calls.push(call);
    this.most = Math.max(this.most, ++this.underWay);
    if (this.isSlow) await new Promise<void>((resolve) => this.#answers.push(resolve));
    this.underWay--;
    return execute();
  }
}

function engine(requests?: number): { clock: ManualClock; driver: SlowDriver; manager: LockManager } {
  const clock = new ManualClock();
  const driver = new SlowDriver({ clock });
  const options = requests === undefined ? {} : { requests };
  const manager = new LockManager({ driver, instance: 'a', clock, random: () => 0.5, emit: () => {}, ...options });
  return { clock, driver, manager };
}

const forKey = (key: string, change: Partial<AcquireRequest> = {}): AcquireRequest =>
  request({ key, storeKey: key, ...change });

describe('the gate before the store', () => {
  it('lets no more than so many requests go at once, and all of them in the end', async () => {
    const { clock, driver, manager } = engine();
    const all = Array.from({ length: 2000 }, (_, index) => manager.acquire(forKey(`k${index}`)));
    await clock.advance(0);
    expect(driver.underWay).toBe(512);
    while (driver.underWay > 0) {
      driver.answer(100);
      await clock.advance(0);
    }
    expect(await Promise.all(all)).toHaveLength(2000);
    expect(driver.most).toBe(512);
    expect(driver.calls.filter((call) => call.startsWith('acquire'))).toEqual(
      Array.from({ length: 2000 }, (_, index) => `acquire k${index}`),
    );
  });

  describe('a caller that gives up while it stands there', () => {
    const aborted = new Error('aborted by the caller');
    it.each([
      ['its time is over', {}, ({ clock }: ReturnType<typeof engine>) => clock.advance(1000), DriverUnavailableError],
      ['its signal aborts', { wait: 60_000 }, (_: unknown, abort: () => void) => abort(), aborted],
      [
        'the service is closed',
        { wait: 60_000 },
        ({ clock, manager, driver }: ReturnType<typeof engine>) => {
          void manager.close(0);
          driver.isSlow = false;
          return clock.advance(1);
        },
        LockServiceClosedError,
      ],
    ])('asks for nothing and cancels nothing: %s', async (_, { wait = 1000 }: { wait?: number }, end, expected) => {
      const test = engine(2);
      const controller = new AbortController();
      const busy = ['x', 'y'].map((key) => outcome(test.manager.acquire(forKey(key, { limit: { wait: 60_000 } }))));
      const { signal } = controller;
      const leaving = outcome(test.manager.acquire(forKey('k', { limit: { wait }, signal })));
      await test.clock.advance(0);
      await end(test, () => controller.abort(aborted));
      await test.clock.advance(0);
      if (expected === aborted) expect(leaving.error).toBe(aborted);
      else expect(leaving.error).toBeInstanceOf(expected);
      test.driver.isSlow = false;
      test.driver.answer();
      await test.clock.advance(2000);
      expect(test.driver.calls.filter((call) => call.endsWith(' k'))).toEqual([]);
      expect(busy.every(({ settled }) => settled)).toBe(true);
    });

    it('leaves its place to the next, also when it gives up as its turn comes', async () => {
      const { clock, driver, manager } = engine(1);
      const controller = new AbortController();
      const first = manager.acquire(forKey('first'));
      const second = outcome(manager.acquire(forKey('second', { signal: controller.signal })));
      const third = outcome(manager.acquire(forKey('third')));
      await clock.advance(0);
      driver.answer();
      void first.then(() => controller.abort(new Error('left')));
      await clock.advance(0);
      driver.isSlow = false;
      driver.answer();
      await clock.advance(0);
      expect([second.settled, third.value?.held]).toEqual([true, true]);
    });

    it.each([0, 1])('leaves its place when it goes %i steps after it was called', async (steps) => {
      const gate = new RequestGate(1);
      const controller = new AbortController();
      const callers = new WaitingCallers(new ManualClock());
      const waitLimit = callers.add({ key: 'k', storeKey: 'k', wait: Infinity, signal: controller.signal }, 0);
      gate.enter();
      const turn = outcome(gate.turn(waitLimit, false));
      const answer = Promise.resolve();
      void answer.then(gate.leave);
      let step = answer;
      for (let count = 0; count < steps; count++) step = step.then(() => undefined);
      void step.then(() => controller.abort(aborted));
      await setImmediate();
      expect(turn.error).toBe(aborted);
      expect(gate.enter()).toBe(true);
    });

    it('takes no place when its turn would have come', async () => {
      const { clock, driver, manager } = engine(1);
      void manager.acquire(forKey('busy', { limit: { wait: 60_000 } }));
      const left = outcome(manager.acquire(forKey('left', { limit: { wait: 1000 } })));
      await clock.advance(1000);
      expect(left.settled).toBe(true);
      driver.isSlow = false;
      driver.answer();
      await clock.advance(0);
      const next = outcome(manager.acquire(forKey('next')));
      await clock.advance(0);
      expect(next.value).toMatchObject({ held: true });
    });

    it('is told that the store was not asked, and how to repair it', async () => {
      const { clock, manager } = engine(1);
      const all = ['x', 'a', 'b'].map((key) => outcome(manager.acquire(forKey(key, { limit: { wait: 1000 } }))));
      await clock.advance(1000);
      expect(all[1]!.error).toMatchObject({
        message:
          'Lock "a": could not be acquired within 1000 ms. 1 requests of this instance to memory are under way, and 2 ' +
          'wait for their turn. Ask for fewer locks at once, or give `wait` more time.',
        sent: false,
      });
    });

    it('is refused as before, where it was refused when it was asked for', async () => {
      const { clock, driver, manager } = engine(1);
      driver.isSlow = false;
      const peer = new LockManager({ driver, instance: 'b', clock, random: () => 0.5, emit: () => {} });
      driver.keepPlaces = async (places) => places.map(() => 'ask');
      await peer.acquire(forKey('k', { ttl: 60_000 }));
      const refused = outcome(manager.acquire(forKey('k', { limit: { wait: 1000 } })));
      await clock.advance(10);
      driver.isSlow = true;
      void manager.acquire(forKey('x', { limit: { wait: 60_000 } }));
      await clock.advance(1000);
      expect(refused.error).toBeInstanceOf(LockNotAcquiredError);
    });
  });

  it('lets what gives something back go first, and renewals at any time', async () => {
    const { clock, driver, manager } = engine(1);
    driver.isSlow = false;
    const held = await manager.acquire(forKey('held'));
    driver.isSlow = true;
    void manager.acquire(forKey('busy'));
    const waiting = ['a', 'b'].map((key) => manager.acquire(forKey(key)));
    await clock.advance(1500);
    expect(driver.calls.slice(1)).toEqual(['acquire busy', 'renew held']);
    void held.release();
    for (let answers = 0; answers < 4; answers++) {
      driver.answer();
      await clock.advance(0);
    }
    await Promise.all(waiting);
    const asked = driver.calls.slice(3).filter((call) => !call.startsWith('renew'));
    expect(asked).toEqual(['release held', 'acquire a', 'acquire b']);
  });

  it('lets a claim that has a place in the store go before those that have none', async () => {
    const { clock, driver, manager } = engine(1);
    driver.isSlow = false;
    driver.keepPlaces = async (places) => places.map(() => 'ask');
    const peer = new LockManager({ driver, instance: 'b', clock, random: () => 0.5, emit: () => {} });
    await peer.acquire(forKey('k', { ttl: 60_000 }));
    void manager.acquire(forKey('k')).catch(() => undefined);
    await clock.advance(10);
    driver.isSlow = true;
    void manager.acquire(forKey('busy'));
    void manager.acquire(forKey('new'));
    // A heartbeat is due.
    await clock.advance(600);
    const from = driver.calls.length;
    driver.answer();
    await clock.advance(0);
    expect(driver.calls.slice(from)).toEqual(['acquire k']);
  });

  it('is not closed by a driver that throws', async () => {
    const { clock, driver, manager } = engine(1);
    driver.isSlow = false;
    const { acquire } = driver;
    driver.acquire = () => {
      throw new Error('a mistake in a driver');
    };
    const failing = outcome(manager.acquire(forKey('k', { limit: { wait: 100 } })));
    await clock.advance(200);
    expect(failing.error).toBeInstanceOf(DriverUnavailableError);
    driver.acquire = acquire;
    expect((await manager.acquire(forKey('k'))).held).toBe(true);
  });
});
