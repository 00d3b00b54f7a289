import type { AsyncLocalStorage } from 'node:async_hooks';
import { callChains } from '../core/detached.js';
import type { HeldLeases } from './held-leases.js';
import type { Lock, LockHandle } from './lock.js';
import { WAIT_IS_OVER, type WaitLimit } from './wait-limit.js';

/**
 * The frames of the running async call chain: one for each guarded call and each piece of leader work that it is inside
 * of. A frame is open while its call runs, so code that was started but not awaited finds its locks only as long as they
 * protect it.
 *
 * Not covered: a callback pool that runs one caller's code in another caller's context carries the frames along. Such a
 * pool must bind its callbacks with `AsyncResource.bind`.
 */
interface AnyFrame {
  /** Its owner: two applications in one process never see each other's frames. */
  readonly scope: object;
  /** The lock that protects the call; leader work has none of its own. */
  readonly lock: LockHandle | undefined;
  readonly parent: AnyFrame | undefined;
  /** The scheduled instant of the job whose run it is, in milliseconds since 1970. */
  readonly instant: number | undefined;
  open: boolean;
}

/** The frame of a guarded call; its scope is the lock manager that granted the lock. */
export interface Frame extends AnyFrame {
  readonly lock: LockHandle;
  /** Settles when the last reentrant caller below this frame is done; siblings run one at a time. */
  lastChild: Promise<void>;
}

const storage = callChains as AsyncLocalStorage<AnyFrame | undefined>;
const DONE = Promise.resolve();

/** Runs `task` as a guarded call inside `lock`, or as other work of `scope`. */
export async function runInside<T>(
  scope: object,
  lock: LockHandle | undefined,
  task: () => T | Promise<T>,
  instant?: number,
): Promise<T> {
  const frame = { scope, lock, instant, parent: storage.getStore(), open: true, lastChild: DONE };
  try {
    // Also a thenable, which works only once it is awaited, begins inside.
    return await storage.run(frame, () => Promise.resolve(task()));
  } finally {
    frame.open = false;
  }
}

/** Is this call chain part of work of `scope` that still runs? */
export function isInside(scope: object): boolean {
  for (let frame = storage.getStore(); frame; frame = frame.parent) {
    if (frame.scope === scope && frame.open) return true;
  }
  return false;
}

/** The innermost open frame of `scope`, or that of the key that the store knows as `storeKey`. */
export function findFrame(scope: object, storeKey?: string): Frame | undefined {
  return find(
    (frame) => frame.scope === scope && (storeKey === undefined || frame.lock.hold.lease.claim.key === storeKey),
  );
}

/**
 * The innermost lock that this async call chain holds by `withLock` or `@WithLock`, or undefined. A lock of `acquire`
 * is not found.
 *
 * @param key the key of the lock; default: any
 */
export function currentLock(key?: string): Lock | undefined {
  return find((frame) => key === undefined || frame.lock.key === key)?.lock;
}

/**
 * The scheduled instant of the fire that this async call chain runs, or undefined. Set by `@OncePerTick()`, by
 * `@LeaderOnly({ catchUp: true })` and by `JobService`.
 */
export function currentFire(): Date | undefined {
  for (let frame = storage.getStore(); frame; frame = frame.parent) {
    if (frame.open && frame.instant !== undefined) return new Date(frame.instant);
  }
  return undefined;
}

/**
 * A further handle for the lease of a frame, without the store: siblings below one frame have it one after the other.
 * Undefined when the wait is over first.
 */
export async function shareLease(
  frame: Frame,
  heldLeases: HeldLeases,
  waitLimit: WaitLimit,
): Promise<LockHandle | undefined> {
  const before = frame.lastChild;
  let done!: () => void;
  const own = new Promise<void>((resolve) => (done = resolve));
  frame.lastChild = before.then(() => own);
  // Counts from now on, so that the lease outlives a parent that does not wait for us.
  const handle = heldLeases.share(frame.lock.hold, {
    letGo: (shared) => {
      done();
      return heldLeases.letGo(shared);
    },
  });
  try {
    await waitLimit.wait(before);
    handle.ensure();
    return handle;
  } catch (error) {
    await handle.release();
    if (error === WAIT_IS_OVER) return undefined;
    throw error;
  }
}

function find(matches: (frame: Frame) => boolean): Frame | undefined {
  for (let frame = storage.getStore(); frame; frame = frame.parent) {
    if (frame.open && isGuarded(frame) && matches(frame) && frame.lock.held) return frame;
  }
  return undefined;
}

function isGuarded(frame: AnyFrame): frame is Frame {
  return frame.lock !== undefined;
}
