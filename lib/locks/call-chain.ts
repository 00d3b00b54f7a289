import type { AsyncLocalStorage } from 'node:async_hooks';
import { callChains } from '../core/detached.js';
import type { LockHandle } from './lock-handle.js';
import type { Lock } from './lock.js';

/**
 * What the running async call chain is inside of: guarded calls and leader work. Each has a frame, which is open while
 * it runs, so code that was started but not awaited finds its locks only as long as they protect it.
 *
 * A callback pool that runs one caller's code in another caller's context carries the frames along; such a pool must
 * bind its callbacks with `AsyncResource.bind`.
 */
interface AnyFrame {
  /** Who opened it: two applications in one process never see each other's frames. */
  readonly scope: object;
  /** What protects it; leader work has none of its own. */
  readonly lock: LockHandle | undefined;
  readonly parent: AnyFrame | undefined;
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
): Promise<T> {
  const frame = { scope, lock, parent: storage.getStore(), open: true, lastChild: DONE };
  try {
    // Also a thenable, which works only once it is awaited, begins inside.
    return await storage.run(frame, () => Promise.resolve(task()));
  } finally {
    frame.open = false;
  }
}

/** Whether this call chain is part of work of `scope` that still runs. */
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
 * The innermost lock that this async call chain is inside of and still holds, or undefined. Set by `withLock` and
 * `@WithLock`, not by `acquire`.
 */
export function currentLock(key?: string): Lock | undefined {
  return find((frame) => key === undefined || frame.lock.key === key)?.lock;
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
