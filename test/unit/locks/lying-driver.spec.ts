import type { DriverEvent, DriverListener } from 'nestjs-dist-lock';
import { MemoryDriver } from 'nestjs-dist-lock/memory';
import { beforeEach, describe, expect, it } from 'vitest';
import { heartbeat } from '../../../lib/core/lock-driver.js';
import type { LockHandle } from '../../../lib/locks/lock.js';
import { believable } from '../../../lib/locks/pushed-grant.js';
import { ManualClock } from '../../../lib/testing/manual-clock.js';
import { Engine, outcome, request } from '../../support/engine/engine.js';

const ttl = 3000;
const HEARTBEAT = heartbeat(ttl);

/** A store on whose channels somebody else publishes, too. */
class Overheard extends MemoryDriver {
  readonly #heard: DriverListener[] = [];

  override connect(listener: DriverListener): Promise<void> {
    this.#heard.push(listener);
    return super.connect(listener);
  }

  forge(event: unknown): void {
    for (const listener of this.#heard) listener(event as DriverEvent);
  }
}

// Rule S10 of docs/internals/safety.md.
describe('a grant that is forged', () => {
  let clock: ManualClock;
  let store: Overheard;
  let holder: Engine;
  let engine: Engine;
  let held: LockHandle;
  let waiting: { value?: LockHandle; settled: boolean };
  /** The most that can be true. */
  let plausible: Extract<DriverEvent, { type: 'granted' }>;
  beforeEach(async () => {
    clock = new ManualClock();
    store = new Overheard({ clock });
    holder = new Engine(clock, store, 'holder');
    engine = holder.peer('engine');
    held = await holder.manager.acquire(request({ ttl }));
    waiting = outcome(engine.manager.acquire(request({ ttl, limit: { wait: Infinity } })));
    await clock.advance(10);
    plausible = {
      type: 'granted',
      status: 'granted',
      key: 'test:l:k',
      holder: engine.driver.callsOf('acquire').at(-1)!.holders[0]!,
      fencingToken: held.fencingToken + 64,
      tokens: 64,
      ttl: 4 * HEARTBEAT,
      waiters: 0,
    };
  });

  const lies: [string, Record<string, unknown>][] = [
    ['the wrong status', { status: 'queued' }],
    ['no status', { status: undefined }],
    ['another holder', { holder: 'somebody' }],
    ['no holder', { holder: undefined }],
    ['another key', { key: 'test:l:other' }],
    ['no key', { key: undefined }],
    ...[0, -1, 1.5, 2 ** 53, 2 ** 53 - 1, Number.NaN, Infinity, '7', null, undefined, 9n].map(
      (fencingToken): [string, Record<string, unknown>] => [`token ${String(fencingToken)}`, { fencingToken }],
    ),
    ...[0, -1, 1.5, 2 ** 53, Number.NaN, Infinity, '1', null, undefined].map(
      (tokens): [string, Record<string, unknown>] => [`${String(tokens)} tokens`, { tokens }],
    ),
    ...[0, -1, -1e9, Number.NaN, Infinity, '500', null, undefined].map((armed): [string, Record<string, unknown>] => [
      `a TTL of ${String(armed)}`,
      { ttl: armed },
    ]),
    ...[-1, 0.5, Number.NaN, '0', null].map((waiters): [string, Record<string, unknown>] => [
      `${String(waiters)} waiters`,
      { waiters },
    ]),
  ];

  it.each(lies)('with %s counts for nothing', async (_, lie) => {
    store.forge({ ...plausible, ...lie });
    await clock.advance(1);
    expect(waiting.settled).toBe(false);
    expect(held.held).toBe(true);
    await held.release();
    await clock.advance(1);
    expect(waiting.value).toMatchObject({ held: true });
    expect(waiting.value!.fencingToken).toBe((await store.inspect('test:l:k'))!.fencingToken);
  });

  it.each([
    ['the token of the holder', 0],
    ['a token before it', -1],
    ['a token that is far ahead', 3_600_000_000],
  ])('with %s counts for nothing', async (_, ahead) => {
    store.forge({ ...plausible, fencingToken: held.fencingToken + ahead });
    await clock.advance(1);
    expect(waiting.settled).toBe(false);
  });

  it('to one that does not wait counts for nothing', async () => {
    const idle = holder.peer('idle');
    await idle.manager.connect();
    store.forge({ ...plausible, key: 'test:l:free' });
    const lock = await idle.manager.acquire(request({ key: 'free', storeKey: 'test:l:free', ttl }));
    expect(lock.fencingToken).toBe((await store.inspect('test:l:free'))!.fencingToken);
  });

  it.each([
    ['nothing else', {}],
    ['a TTL for ever', { ttl: 20 * 86_400_000 }],
    ['a TTL of the claim', { ttl }],
    ['a million tokens', { tokens: 1_000_000 }],
    ['many waiters', { waiters: 1_000_000 }],
  ])('and can be true but for %s is believed until the first renewal, after a heartbeat', async (_, lie) => {
    store.forge({ ...plausible, ...lie });
    await clock.advance(0);
    const lock = waiting.value!;
    expect(lock.remaining).toBeLessThanOrEqual(4 * HEARTBEAT);
    expect(() => lock.ensure(4 * HEARTBEAT + 1)).toThrow(/less time left/);
    await clock.advance(HEARTBEAT + 1);
    expect(lock.held).toBe(false);
    expect(lock.signal.reason).toMatchObject({ reason: 'gone' });
    expect(held.held).toBe(true);
  });

  it('gives no more tokens than a grant can', () => {
    const claim = { key: 'k', holder: 'h', ttl, instance: 'i', metadata: {} };
    const last = held.fencingToken;
    expect(believable({ ...plausible, tokens: 1_000_000 }, claim, last)).toMatchObject({ tokens: 64 });
    expect(believable({ ...plausible, tokens: 3 }, claim, last)).toMatchObject({ tokens: 3 });
  });

  it('and can be true is confirmed by its first renewal when it is', async () => {
    await held.release();
    await clock.advance(0);
    const lock = waiting.value!;
    expect(lock.remaining).toBeLessThanOrEqual(4 * HEARTBEAT);
    await clock.advance(HEARTBEAT + 1);
    expect(lock.remaining).toBeGreaterThan(ttl - HEARTBEAT - 100);
  });
});
