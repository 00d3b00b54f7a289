import { afterEach, describe, expect, it, vi } from 'vitest';
import { Alarm } from '../../../lib/core/alarm.js';
import { SystemClock } from '../../../lib/core/clock.js';
import { Deadlines } from '../../../lib/core/deadlines.js';
import { DriverUnavailableError } from '../../../lib/core/errors.js';
import { MemoryDriver } from '../../../lib/drivers/memory/memory.driver.js';
import { LockManager } from '../../../lib/locks/lock-manager.js';
import { Outages } from '../../../lib/locks/outages.js';
import { request } from '../../support/engine/engine.js';
import { detachNothing, leavesNoFrame } from '../../support/engine/frames.js';

const MINUTE = 60_000;
const NOTHING = (): void => undefined;
/** Made outside of the calls: until its stack is read, an error keeps the functions that ran when it was made. */
const AWAY = new DriverUnavailableError('away', { sent: false });

/** An instance of its own, on the system's clock. */
function instance(driver = new MemoryDriver()): LockManager {
  const options = { driver, instance: 'other', clock: new SystemClock(), random: Math.random, emit: NOTHING };
  return new LockManager(options);
}

/** Opened by the starts below, ended after each test. */
const ending: (() => unknown)[] = [];
const other = (driver?: MemoryDriver): LockManager => {
  const manager = instance(driver);
  ending.push(() => manager.close(0));
  return manager;
};

/** What code inside of a guarded call may start, and leave behind when the call has ended. */
const starts: Record<string, () => unknown> = {
  'a timer': () => void ending.push(timer(new SystemClock())),
  'a timer that keeps the process alive': () => void ending.push(timer(new SystemClock(), true)),
  'the look at the clock while timers are pending': () => {
    timer(
      new SystemClock(
        () => performance.now(),
        () => Date.now(),
      ),
    )();
  },
  'timers that are set again after a suspend': () => {
    let slept = 0;
    const clock = new SystemClock(
      () => performance.now(),
      () => Date.now() + slept,
    );
    ending.push(timer(clock));
    slept = 5000;
    clock.now();
  },
  'an alarm': () => {
    const clock = new SystemClock();
    const alarm = new Alarm(clock, NOTHING);
    alarm.setFor(clock.now() + MINUTE);
    ending.push(() => alarm);
  },
  deadlines: () => {
    const clock = new SystemClock();
    const deadlines = new Deadlines(clock, NOTHING);
    deadlines.add({ deadline: clock.now() + MINUTE, place: undefined }, clock.now());
    ending.push(() => deadlines);
  },
  'the probes of a store that is down': () => {
    const outages = new Outages<string>(new SystemClock(), () => 0.5, {
      wanted: (items) => items,
      probe: NOTHING,
      again: NOTHING,
    });
    outages.add(0, 'item', MINUTE, AWAY);
    ending.push(() => outages.end());
  },
  'an instance with its first connection, and a lock that it renews': async () => {
    const lock = await other().acquire(request());
    ending.push(() => lock.release());
  },
  'a release that is tried again': async () => {
    const driver = new MemoryDriver();
    const lock = await other(driver).acquire(request({ ttl: MINUTE }));
    driver.release = () => Promise.reject(AWAY);
    await lock.release();
  },
};

function timer(clock: SystemClock, keepAlive = false): () => void {
  const pending = clock.after(MINUTE, NOTHING, keepAlive);
  return () => pending.cancel();
}

describe('after a guarded call has ended', () => {
  afterEach(async () => {
    vi.restoreAllMocks();
    for (const end of ending.splice(0).toReversed()) await end();
  });

  it.each(Object.entries(starts))('%s keeps no frame of it', async (_, start) => {
    expect(await leavesNoFrame(start)).toBe(true);
  });

  it.each(Object.entries(starts))('%s would keep it, were it not detached', async (_, start) => {
    detachNothing();
    expect(await leavesNoFrame(start)).toBe(false);
  });
});
