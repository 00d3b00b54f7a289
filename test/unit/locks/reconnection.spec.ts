import type { DriverListener } from 'nestjs-dist-lock';
import { MemoryDriver } from 'nestjs-dist-lock/memory';
import { ManualClock } from 'nestjs-dist-lock/testing';
import { beforeEach, describe, expect, it } from 'vitest';
import { Engine, outcome, request } from '../../support/engine/engine.js';

const name = 'test:l:k';

/** A store that says so when it can be reached again. */
class Returning extends MemoryDriver {
  readonly #listeners = new Set<DriverListener>();

  override connect(listener: DriverListener): Promise<void> {
    this.#listeners.add(listener);
    return super.connect(listener);
  }

  up(): void {
    for (const listener of this.#listeners) listener({ type: 'up' });
  }
}

// Rule S5 of docs/internals/safety.md.
// Whatever the store granted, queued or told may be lost then: what is checked must not wait for a timer.
describe('when the store is there again', () => {
  let clock: ManualClock;
  let store: Returning;
  let engine: Engine;
  let peer: Engine;
  beforeEach(() => {
    clock = new ManualClock();
    store = new Returning({ clock });
    engine = new Engine(clock, store);
    peer = engine.peer('b');
  });

  it('what is held is verified at once, and lost where the store does not know it any more', async () => {
    const ttl = 60_000;
    const kept = await engine.manager.acquire(request({ key: 'kept', storeKey: 'test:l:kept', ttl }));
    const gone = await engine.manager.acquire(request({ ttl }));
    const { signal } = gone;
    await clock.advance(100);
    await store.release({ key: name, holder: gone.holder, ttl });
    await clock.advance(100);
    expect(gone.held).toBe(true);
    store.up();
    await clock.advance(0);
    expect(signal.reason).toMatchObject({ code: 'LOCK_LOST', reason: 'gone' });
    expect(gone.held).toBe(false);
    expect(kept.held).toBe(true);
  });

  it('what is held counts from its verification', async () => {
    const ttl = 60_000;
    const lock = await engine.manager.acquire(request({ ttl }));
    const whole = lock.remaining;
    await clock.advance(5000);
    store.up();
    await clock.advance(0);
    expect(lock.remaining).toBe(whole);
  });

  it.each([true, false])('who waits asks at once, whether the driver keeps places: %s', async (isKept) => {
    if (!isKept) Object.defineProperty(store, 'keepPlaces', { value: undefined });
    engine = new Engine(clock, store, 'c');
    const held = await peer.manager.acquire(request({ ttl: 60_000 }));
    engine.driver.deaf = true;
    const waiting = outcome(engine.manager.acquire(request({ ttl: 60_000 })));
    // Just after it asked, so that it would not ask again soon.
    await clock.advance(0);
    await held.release();
    await clock.advance(20);
    expect(waiting.settled).toBe(false);
    engine.driver.deaf = false;
    store.up();
    await clock.advance(0);
    expect(waiting.value).toMatchObject({ held: true });
  });
});
