import { getEventListeners, once } from 'node:events';
import { setImmediate } from 'node:timers/promises';
import { type DriverEvent, type DriverListener, DriverUnavailableError, LockService } from 'nestjs-dist-lock';
import { MemoryDriver } from 'nestjs-dist-lock/memory';
import { describe, expect, it, vi } from 'vitest';
import { onAbort } from '../../../lib/core/shared-listener.js';
import { Candidate } from '../../support/engine/candidate.js';
import { Engine, outcome, request } from '../../support/engine/engine.js';
import { start } from '../../support/nest/app.js';

function warningsOf(name: string): { readonly warnings: string[]; stop(): Promise<void> } {
  const warnings: string[] = [];
  const listener = (warning: Error): void => void (warning.name === name && warnings.push(warning.message));
  process.on('warning', listener);
  return {
    warnings,
    async stop() {
      // A warning comes with the next tick.
      await setImmediate();
      process.off('warning', listener);
    },
  };
}

describe('listeners of a signal', () => {
  it('of ours may be as many as the protected code has parts', async () => {
    const engine = new Engine();
    const leaks = warningsOf('MaxListenersExceededWarning');
    const lock = await engine.manager.acquire(request());
    const candidate = new Candidate(engine, 'a');
    await candidate.start();
    await engine.clock.advance(10);
    const { signal } = candidate.leader.assertLeader();
    for (let count = 0; count < 20; count++) {
      for (const one of [lock.signal, signal]) one.addEventListener('abort', () => undefined);
    }
    await leaks.stop();
    expect(leaks.warnings).toEqual([]);
    await candidate.leader.stop();
  });

  it("of a caller's are one, however many calls share it, and none when they are over", async () => {
    const engine = new Engine();
    const leaks = warningsOf('MaxListenersExceededWarning');
    const controller = new AbortController();
    const { signal } = controller;
    const held = await engine.manager.acquire(request());
    const calls = Array.from({ length: 20 }, () => outcome(engine.manager.acquire(request({ signal }))));
    await engine.clock.advance(100);
    expect(getEventListeners(signal, 'abort')).toHaveLength(1);
    controller.abort(new Error('enough'));
    await engine.clock.advance(0);
    expect(calls.map(({ error }) => (error as Error).message)).toEqual(Array(20).fill('enough'));
    await held.release();

    const other = new AbortController().signal;
    for (let count = 0; count < 20; count++) {
      await (await engine.manager.acquire(request({ signal: other }))).release();
    }
    expect(getEventListeners(other, 'abort')).toEqual([]);
    await leaks.stop();
    expect(leaks.warnings).toEqual([]);
  });

  it('are called once each, and may go in any order', () => {
    const controller = new AbortController();
    const heard: string[] = [];
    const same = (): void => void heard.push('same');
    const stops = [onAbort(controller.signal, same), onAbort(controller.signal, same)];
    const last = onAbort(controller.signal, () => heard.push('last'));
    stops[0]!();
    stops[0]!();
    expect(getEventListeners(controller.signal, 'abort')).toHaveLength(1);
    controller.abort();
    expect(heard).toEqual(['same', 'last']);
    last();
    onAbort(controller.signal, () => heard.push('late'))();
    expect(heard).toEqual(['same', 'last', 'late']);
  });

  it('of an election do not add up with its terms', async () => {
    const engine = new Engine();
    const added = vi.spyOn(AbortSignal.prototype, 'addEventListener');
    const removed = vi.spyOn(AbortSignal.prototype, 'removeEventListener');
    const candidate = new Candidate(engine, 'a');
    await candidate.start();
    await engine.clock.advance(10);
    for (let term = 0; term < 5; term++) {
      // Code of the term still runs when it ends.
      const work = candidate.leader.runAsLeader(
        () => new Promise((resolve) => engine.clock.after(20, () => resolve(0))),
      );
      const resigned = candidate.leader.resign();
      await engine.clock.advance(10_000);
      await Promise.all([work, resigned]);
    }
    expect(candidate.eventsOf('elected').length).toBeGreaterThan(4);
    // Only those of the term and of the campaign that are under way.
    expect(added.mock.calls.length - removed.mock.calls.length).toBeLessThanOrEqual(2);
    added.mockRestore();
    removed.mockRestore();
    await candidate.leader.stop();
  });
});

describe('code of the application that throws', () => {
  const fail = (what: string) => (): never => {
    throw new Error(`${what} is broken`);
  };

  it.each(['acquired', 'contended', 'renewed', 'at-risk', 'lost', 'released'] as const)(
    'as a listener of %s: locks are granted, renewed, lost and released as ever',
    async (type) => {
      const told = warningsOf('Warning');
      const engine = new Engine();
      engine.onEvent = (event) => {
        if (event.type === type) fail(`Listener of ${type}`)();
      };
      const { manager, clock, driver } = engine;
      const first = await manager.acquire(request());
      const second = outcome(manager.acquire(request()));
      await clock.advance(5000);
      expect(first.held).toBe(true);
      await first.release();
      await clock.advance(10);
      expect(second.value).toMatchObject({ held: true });
      driver.unreachable = true;
      await clock.advance(3000);
      expect(second.value!.signal.aborted).toBe(true);
      driver.unreachable = false;
      const third = await manager.acquire(request());
      await clock.advance(10_000);
      expect(third.held).toBe(true);
      await told.stop();
      expect(told.warnings).toEqual([
        `nestjs-dist-lock: a listener of lock events threw: Listener of ${type} is broken`,
      ]);
    },
  );

  it.each(['changed', 'report', 'problem'] as const)('as %s of an election: it goes on', async (which) => {
    const engine = new Engine();
    const candidate = new Candidate(engine, 'a', {}, { [which]: fail(which) });
    engine.driver.next('acquire', { reject: new Error('boom') });
    await candidate.start();
    await engine.clock.advance(10_000);
    expect(candidate.leader.isLeader()).toBe(true);
    engine.driver.unreachable = true;
    await engine.clock.advance(20_000);
    expect(candidate.leader.isLeader()).toBe(false);
    engine.driver.unreachable = false;
    await engine.clock.advance(60_000);
    expect(candidate.leader.isLeader()).toBe(true);
  });

  it('as the logger: the application starts, works, and ends', async () => {
    const logger = (_: unknown, context?: unknown): void => {
      if (String(context).startsWith('DistLock')) fail('The logger')();
    };
    const driver = new MemoryDriver();
    const connect = driver.connect.bind(driver);
    let say!: DriverListener;
    driver.connect = async (listener) => {
      say = listener;
      await connect(listener);
      throw new DriverUnavailableError('Not yet.', { sent: false });
    };
    const app = await start({
      locks: { driver, lock: { ttl: 100 } },
      logger: { log: logger, warn: logger, error: logger },
    });
    const events: DriverEvent[] = [
      { type: 'warning', message: 'x' },
      { type: 'down', cause: new Error('x') },
      { type: 'up' },
    ];
    for (const event of events) expect(() => say(event)).not.toThrow();
    const locks = app.get(LockService);
    const lock = await locks.acquire('k');
    driver.renew = async (leases) => leases.map(() => 'gone');
    await once(lock.signal, 'abort');
    expect(await locks.withLock('k', () => 'done')).toBe('done');
  });
});
