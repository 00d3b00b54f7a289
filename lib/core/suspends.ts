/** How long the machine slept, as far as the clocks of this process tell. */
export interface Suspends {
  /** Milliseconds, all suspends together. */
  slept: number;
  /** Of the wall clock over the monotonic one, at the latest look. */
  lead: number;
}

// Plain data under a name of the process: where a tool loads both the ESM and the CommonJS copy of this package, or two
// versions of it, all must agree on what time it is, or a lease is over for one of them and valid for the other.
const SUSPENDS = Symbol.for('nestjs-dist-lock/suspends');
const shared = globalThis as { [SUSPENDS]?: Suspends };

/** One record for the whole process. @param lead of the wall clock now, for the first one to ask */
export function suspendsOfProcess(lead: number): Suspends {
  return (shared[SUSPENDS] ??= { slept: 0, lead });
}
