import type { Claim, DriverCapabilities, DriverListener, LeaseRef } from 'nestjs-dist-lock';
import { MemoryDriver } from 'nestjs-dist-lock/memory';
import { ManualClock } from 'nestjs-dist-lock/testing';
import { describe, expect, it } from 'vitest';
import { Engine, outcome, request } from '../../support/engine/engine.js';

/** A driver as others may write it: leases only, without a queue; with `push` it says when a key was freed. */
class PlainDriver extends MemoryDriver {
  override readonly capabilities: DriverCapabilities;
  readonly #listeners = new Set<DriverListener>();

  constructor(clock: ManualClock, push: boolean) {
    super({ clock });
    this.capabilities = { scope: 'process', queue: false, push, minTtl: 20 };
  }

  override connect(listener: DriverListener): Promise<void> {
    this.#listeners.add(listener);
    return super.connect(() => undefined);
  }

  override acquire(claim: Claim): ReturnType<MemoryDriver['acquire']> {
    return super.acquire(claim, 'try');
  }

  override async release(lease: LeaseRef): Promise<boolean> {
    const released = await super.release(lease);
    if (this.capabilities.push) for (const listener of this.#listeners) listener({ type: 'freed', key: lease.key });
    return released;
  }
}

function twoInstances(push: boolean): [Engine, Engine] {
  const clock = new ManualClock();
  const first = new Engine(clock, new PlainDriver(clock, push));
  return [first, first.peer('b')];
}

describe('over a driver without a queue', () => {
  it('a waiter polls, more and more slowly, and gets the lock soon after its release', async () => {
    const [first, second] = twoInstances(false);
    const held = await first.manager.acquire(request({ ttl: 60_000 }));
    const waiting = outcome(second.manager.acquire(request()));
    await first.clock.advance(1000);
    const polls = second.driver.callsOf('acquire').map(({ at }) => at);
    expect(polls.length).toBeGreaterThan(8);
    expect(polls[2]! - polls[1]!).toBeLessThan(polls.at(-1)! - polls.at(-2)!);
    await held.release();
    await first.clock.advance(100);
    expect(waiting.value).toMatchObject({ held: true });
  });

  it('a waiter is woken at once by a release within its own instance', async () => {
    const [first, second] = twoInstances(false);
    const before = await second.manager.acquire(request({ ttl: 60_000 }));
    const waiting = outcome(first.manager.acquire(request()));
    await first.clock.advance(1000);
    await before.release();
    const held = await first.manager.acquire(request({ limit: { attempts: 1, retryDelay: 1 } }));
    await first.clock.advance(500);
    const [last] = first.driver.callsOf('acquire').slice(-1);
    await first.clock.advance(last!.at + 90 - first.clock.now());
    const asked = first.driver.callsOf('acquire').length;
    await first.clock.advance(5);
    expect(first.driver.callsOf('acquire')).toHaveLength(asked);
    await held.release();
    await first.clock.advance(0);
    expect(waiting.value).toMatchObject({ held: true });
  });

  it('a waiter is woken by the news that the key was freed', async () => {
    const [first, second] = twoInstances(true);
    const held = await first.manager.acquire(request({ ttl: 60_000 }));
    const waiting = outcome(second.manager.acquire(request()));
    await first.clock.advance(10);
    await held.release();
    await first.clock.advance(0);
    expect(waiting.value).toMatchObject({ held: true });
    expect(second.driver.callsOf('acquire')).toHaveLength(2);
  });

  it('a waiter that gives up has nothing to cancel', async () => {
    const [first, second] = twoInstances(false);
    await first.manager.acquire(request({ ttl: 60_000 }));
    const waiting = outcome(second.manager.acquire(request({ limit: { wait: 200 } })));
    await first.clock.advance(200);
    expect(waiting.error).toMatchObject({ code: 'LOCK_NOT_ACQUIRED', heldBy: 'a' });
    expect(second.driver.callsOf('cancel')).toEqual([]);
  });
});
