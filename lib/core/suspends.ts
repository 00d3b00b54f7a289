import type { Milliseconds } from './duration.js';

/** The sleep of the machine, as far as the clocks of this process show it. */
export interface Suspends {
  /** All suspends together. */
  slept: Milliseconds;
  /** The lead of the wall clock over the monotonic one, at the latest look. */
  lead: Milliseconds;
}

// Plain data under a name of the process: where a tool loads both the ESM and the CommonJS copy of this package, or two
// versions of it, all must agree on what time it is, or a lease is over for one of them and valid for the other.
const SUSPENDS = Symbol.for('nestjs-dist-lock/suspends');
const shared = globalThis as { [SUSPENDS]?: Suspends };

/** One record for the whole process. @param lead of the wall clock now, for the first caller */
export function suspendsOfProcess(lead: Milliseconds): Suspends {
  return (shared[SUSPENDS] ??= { slept: 0, lead });
}
