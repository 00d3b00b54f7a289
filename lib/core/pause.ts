import type { Clock } from './clock.js';
import type { Milliseconds } from './duration.js';

/** Resolves after this time. `keepAlive`: until then the process does not end by itself. */
export function pause(clock: Clock, time: Milliseconds, keepAlive = false): Promise<void> {
  return new Promise((resolve) => void clock.after(time, resolve, keepAlive));
}
