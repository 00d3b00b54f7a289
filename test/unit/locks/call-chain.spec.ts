import { AsyncResource } from 'node:async_hooks';
import { EventEmitter } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { currentLock, LockNotAcquiredError, NestedLockError } from 'nestjs-dist-lock';
import { beforeEach, describe, expect, it } from 'vitest';
import { SystemClock } from '../../../lib/core/clock.js';
import type { LockManager } from '../../../lib/locks/lock-manager.js';
import type { AcquireRequest } from '../../../lib/locks/lock-request.js';
import { Engine, outcome, request } from '../../support/engine/engine.js';

// Rule S11 of docs/internals/safety.md.
describe('a nested lock', () => {
  let engine: Engine;
  let manager: LockManager;
  beforeEach(() => {
    engine = new Engine();
    manager = engine.manager;
  });
  const shared = (change: Partial<AcquireRequest> = {}): AcquireRequest => request({ reentrant: true, ...change });
  const other = request({ key: 'other', storeKey: 'test:l:other' });
  const acquires = (): number => engine.driver.callsOf('acquire').length;

  it('of the same key fails at once instead of waiting for itself', async () => {
    await manager.withLock(request(), async () => {
      const once = { limit: { attempts: 1, retryDelay: 1 } };
      await expect(manager.withLock(request(), () => 1)).rejects.toThrow(NestedLockError);
      await expect(manager.acquire(request())).rejects.toThrow(/already held by this call chain.*reentrant: true/);
      await expect(manager.tryAcquire(request(once))).rejects.toThrow(NestedLockError);
      await expect(manager.withLock(other, () => manager.acquire(request()))).rejects.toThrow(NestedLockError);
    });
    expect(acquires()).toBe(2);
  });

  it('fails at once also in a thenable that does its work when it is awaited', async () => {
    // As the query builders of databases are.
    const lazy = {
      // oxlint-disable-next-line unicorn/no-thenable -- it stands for one that is not ours
      then: (...settle: Parameters<Promise<number>['then']>) => manager.withLock(request(), () => 1).then(...settle),
    } as Promise<number>;
    await expect(manager.withLock(request(), () => lazy)).rejects.toThrow(NestedLockError);
  });

  it('of another key, or of a key with the same name in an election, is a lock of its own', async () => {
    await manager.withLock(request(), async () => {
      await manager.withLock(other, () => expect(currentLock()!.key).toBe('other'));
      await (await manager.acquire(request({ storeKey: 'test:e:k' }))).release();
      expect(currentLock()!.key).toBe('k');
    });
    expect(acquires()).toBe(3);
  });

  it('is shared on request: one lease, one token, no round trip', async () => {
    await manager.withLock(request(), async (outer) => {
      await manager.withLock(other, () =>
        manager.withLock(shared(), async (inner) => {
          expect(inner.fencingToken).toBe(outer.fencingToken);
          expect(inner.holder).toBe(outer.holder);
        }),
      );
      expect(outer.held).toBe(true);
    });
    expect(acquires()).toBe(2);
    expect(await manager.inspect('test:l:k')).toBeNull();
  });

  it('that is shared and released early does not release the outer one', async () => {
    await manager.withLock(request(), async (outer) => {
      const inner = await manager.acquire(shared());
      await inner.release();
      expect(inner.held).toBe(false);
      expect(outer.held).toBe(true);
    });
  });

  it('excludes the other branches of a Promise.all', async () => {
    let inside = 0;
    let most = 0;
    const branch = (): Promise<void> =>
      manager.withLock(shared(), async () => {
        most = Math.max(most, ++inside);
        await sleep(2);
        inside--;
      });
    await manager.withLock(request(), () => Promise.all([branch(), branch(), branch()]));
    expect(most).toBe(1);
    expect(acquires()).toBe(1);
  });

  it('gives up when a sibling has the lock for all the time to wait', async () => {
    await manager.withLock(request({ ttl: 60_000 }), async () => {
      const first = await manager.acquire(shared());
      const second = outcome(manager.acquire(shared({ limit: { wait: 1000 } })));
      const third = outcome(manager.acquire(shared()));
      await engine.clock.advance(1000);
      expect(second.error).toBeInstanceOf(LockNotAcquiredError);
      await first.release();
      await engine.clock.advance(0);
      expect(third.value).toMatchObject({ held: true });
      await third.value!.release();
    });
    expect(await manager.inspect('test:l:k')).toBeNull();
  });

  it('that was started in time but not awaited keeps the lease until it is done', async () => {
    let child!: Promise<void>;
    let finish!: () => void;
    await manager.withLock(request(), async () => {
      child = manager.withLock(shared(), () => new Promise<void>((resolve) => (finish = resolve)));
      await engine.clock.advance(0);
    });
    expect(await manager.inspect('test:l:k')).not.toBeNull();
    finish();
    await child;
    expect(await manager.inspect('test:l:k')).toBeNull();
  });

  it('that starts after the outer one ended takes the lock for itself', async () => {
    let late!: Promise<number>;
    const token = await manager.withLock(request(), async (lock) => {
      late = sleep(5).then(() => {
        expect(currentLock()).toBeUndefined();
        return manager.withLock(request(), (own) => own.fencingToken);
      });
      return lock.fencingToken;
    });
    expect(await late).toBeGreaterThan(token);
  });

  it('never enters a lock that was lost while a sibling had it', async () => {
    await manager.withLock(request({ ttl: 3000 }), async () => {
      const first = await manager.acquire(shared());
      const second = outcome(manager.acquire(shared()));
      engine.driver.unreachable = true;
      await engine.clock.advance(3000);
      await first.release();
      await engine.clock.advance(0);
      expect(second.error).toMatchObject({ code: 'LOCK_LOST', reason: 'expired' });
    });
  });

  it('never enters a lock that was lost', async () => {
    const peer = engine.peer();
    await manager.withLock(request({ ttl: 3000 }), async (outer) => {
      engine.driver.unreachable = true;
      await engine.clock.advance(3000);
      engine.driver.unreachable = false;
      expect(currentLock()).toBeUndefined();
      const token = await manager.withLock(shared(), (own) => own.fencingToken);
      expect(token).toBeGreaterThan(outer.fencingToken);
      await peer.manager.withLock(request(), () => expect(outer.held).toBe(false));
    });
  });

  it('in another application of the process is no nested lock', async () => {
    const peer = new Engine(engine.clock);
    await manager.withLock(request(), () =>
      peer.manager.withLock(request(), () => expect(peer.driver.callsOf('acquire')).toHaveLength(1)),
    );
  });
});

describe('currentLock', () => {
  it('is found in timers, emitters and promises of the call, and gone after it', async () => {
    const { manager } = new Engine();
    const emitter = new EventEmitter();
    const seen: unknown[] = [];
    emitter.on('look', () => seen.push(currentLock()?.key));
    await manager.withLock(request(), async () => {
      emitter.emit('look');
      await new Promise<void>((resolve) => {
        setTimeout(() => {
          emitter.emit('look');
          resolve();
        }, 1);
      });
      await Promise.resolve().then(() => emitter.emit('look'));
      expect(currentLock('k')?.key).toBe('k');
      expect(currentLock('other')).toBeUndefined();
    });
    emitter.emit('look');
    expect(seen).toEqual(['k', 'k', 'k', undefined]);
  });

  it('is not set by acquire', async () => {
    const { manager } = new Engine();
    await using lock = await manager.acquire(request());
    expect(lock.held).toBe(true);
    expect(currentLock()).toBeUndefined();
  });

  it('is not carried into the timers of the clock', async () => {
    const { manager } = new Engine();
    const seen = await manager.withLock(
      request(),
      () => new Promise((resolve) => void new SystemClock().after(1, () => resolve(currentLock() ?? 'none'))),
    );
    expect(seen).toBe('none');
  });

  /** A pool that hands its resource to the next caller inside the context of the one that gives it back. */
  class CallbackPool {
    readonly #queue: (() => void)[] = [];
    #busy = false;

    acquire(callback: () => void): void {
      if (this.#busy) this.#queue.push(callback);
      else {
        this.#busy = true;
        callback();
      }
    }

    release(): void {
      const next = this.#queue.shift();
      if (next) next();
      else this.#busy = false;
    }
  }

  async function twoCallersOfOnePool(bind: (callback: () => void) => () => void): Promise<string[]> {
    const { manager } = new Engine();
    const pool = new CallbackPool();
    const order: string[] = [];
    let first!: Promise<void>;
    pool.acquire(() => {
      first = manager.withLock(request(), async () => {
        await sleep(5);
        pool.release();
        await sleep(5);
        order.push('first ends');
      });
    });
    await new Promise<void>((resolve, reject) => {
      const second = (): void => {
        manager.withLock(request({ reentrant: true }), () => void order.push('second runs')).then(resolve, reject);
      };
      pool.acquire(bind(second));
    });
    await first;
    return order;
  }

  it('is carried along by a callback pool, which then breaks the exclusion: the trap that is documented', async () => {
    expect(await twoCallersOfOnePool((callback) => callback)).toEqual(['second runs', 'first ends']);
  });

  it('is not, where the pool binds its callbacks', async () => {
    expect(await twoCallersOfOnePool((callback) => AsyncResource.bind(callback))).toEqual([
      'first ends',
      'second runs',
    ]);
  });
});
