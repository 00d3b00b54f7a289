import { AsyncLocalStorage } from 'node:async_hooks';
import type { LeaseHandle } from './lease.js';
import type { Lock } from './lock.js';

/**
 * Which locks the running async call chain is inside of. A frame belongs to one guarded call: it is open while that
 * call runs, so code that was started but not awaited finds its locks only as long as they protect it.
 *
 * A callback pool that runs one caller's code in another caller's context carries the frames along; such a pool must
 * bind its callbacks with `AsyncResource.bind`.
 */
export interface Frame {
  /** The lock manager that granted the lock: two applications in one process never see each other's locks. */
  readonly scope: object;
  readonly lock: LeaseHandle;
  readonly parent: Frame | undefined;
  open: boolean;
  /** Settles when the last reentrant caller below this frame is done; siblings run one at a time. */
  lastChild: Promise<void>;
}

// One store for the process, even where a tool loads both the ESM and the CommonJS copy of this package.
const STORAGE = Symbol.for('nestjs-dist-lock/call-chain');
const shared = globalThis as { [STORAGE]?: AsyncLocalStorage<Frame | undefined> };
const storage = (shared[STORAGE] ??= new AsyncLocalStorage<Frame | undefined>());

/** Runs `task` outside every call chain: timers and connections must not keep a caller's frames. */
export function detached<T>(task: () => T): T {
  return storage.run(undefined, task);
}

/** Runs `task` as a guarded call inside `lock`. */
export async function runInside<T>(scope: object, lock: LeaseHandle, task: () => T | Promise<T>): Promise<T> {
  const frame: Frame = { scope, lock, parent: storage.getStore(), open: true, lastChild: Promise.resolve() };
  try {
    return await storage.run(frame, async () => task());
  } finally {
    frame.open = false;
  }
}

/** The innermost open frame of `scope`, or that of the key which the store calls `name`. */
export function findFrame(scope: object, name?: string): Frame | undefined {
  return find((frame) => frame.scope === scope && (name === undefined || frame.lock.lease.tenure.claim.key === name));
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
    if (frame.open && matches(frame) && frame.lock.held) return frame;
  }
  return undefined;
}
