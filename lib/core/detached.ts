import { AsyncLocalStorage } from 'node:async_hooks';

// One store for the process, even where a tool loads both the ESM and the CommonJS copy of this package. And one for all
// purposes: before Node 24 every promise of the process pays for every store that was ever entered.
const CALL_CHAINS = Symbol.for('nestjs-dist-lock/call-chain');
const shared = globalThis as { [CALL_CHAINS]?: AsyncLocalStorage<unknown> };

/** Where `call-chain.ts` keeps the frame that the running code is inside of. */
export const callChains = (shared[CALL_CHAINS] ??= new AsyncLocalStorage<unknown>());

/** Runs `task` outside every call chain: timers and connections must not keep a caller's frames. */
export function detached<T>(task: () => T): T {
  return callChains.run(undefined, task);
}
