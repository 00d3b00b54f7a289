import { AsyncLocalStorage } from 'node:async_hooks';

// One storage for the process, even where a tool loads both the ESM and the CommonJS copy of this package. And one for
// all purposes: before Node 24 every promise of the process pays for every storage that was ever entered.
const CALL_CHAINS = Symbol.for('nestjs-dist-lock/call-chain');
const shared = globalThis as { [CALL_CHAINS]?: AsyncLocalStorage<unknown> };

/** Holds the frame of the running code: see locks/call-chain.ts. */
export const callChains = (shared[CALL_CHAINS] ??= new AsyncLocalStorage<unknown>());

/** Runs `task` outside of every call chain: a timer or a connection must not keep a caller's frames. */
export function detached<T>(task: () => T): T {
  return callChains.run(undefined, task);
}
