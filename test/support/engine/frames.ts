import { setImmediate as nextTurn } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { vi } from 'vitest';
import { SystemClock } from '../../../lib/core/clock.js';
import { callChains } from '../../../lib/core/detached.js';
import { MemoryDriver } from '../../../lib/drivers/memory/memory.driver.js';
import { LockManager } from '../../../lib/locks/lock-manager.js';
import { request } from './engine.js';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

/** Turns of the event loop, each with a full collection, before an object counts as kept. */
const TURNS = 20;

/**
 * Whether the frame of a guarded call can be collected after the call has ended: the handle of its lock can, which the frame
 * alone refers to. `start` runs inside of the call; what it starts may go on.
 */
export async function leavesNoFrame(start: () => unknown): Promise<boolean> {
  const frame = await guardedCall(start);
  for (let turn = 0; turn < TURNS && frame.deref(); turn++) {
    // A reference that was looked at is kept for the rest of the turn.
    await nextTurn();
    collectGarbage();
  }
  return frame.deref() === undefined;
}

async function guardedCall(start: () => unknown): Promise<WeakRef<object>> {
  const manager = new LockManager({
    driver: new MemoryDriver(),
    instance: 'caller',
    clock: new SystemClock(),
    random: Math.random,
    emit: () => undefined,
  });
  const frame = await manager.withLock(request({ key: 'frame', storeKey: 'test:l:frame' }), async (lock) => {
    await start();
    return new WeakRef(lock);
  });
  await manager.close(0);
  return frame;
}

/** The control: until mocks are restored, `detached()` runs its task inside of the caller's call chain. */
export function detachNothing(): void {
  const run = callChains.run.bind(callChains);
  const runInside = (frame: unknown, task: () => unknown): unknown => (frame === undefined ? task() : run(frame, task));
  vi.spyOn(callChains, 'run').mockImplementation(runInside as typeof callChains.run);
}
