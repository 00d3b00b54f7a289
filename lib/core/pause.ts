import type { Clock } from './clock.js';
import type { Milliseconds } from './duration.js';

/** Resolves after this time. `keepAlive`: until then the process does not end by itself. */
export function pause(clock: Clock, time: Milliseconds, keepAlive = false): Promise<void> {
  return new Promise((resolve) => void clock.after(time, resolve, keepAlive));
}

/** Resolves when the work has ended, which does not reject, or after this time. Until then the process does not end. */
export function settledWithin(clock: Clock, time: Milliseconds, work: Promise<unknown>): Promise<void> {
  return new Promise((resolve) => {
    const timer = clock.after(time, resolve, true);
    void work.then(() => {
      timer.cancel();
      resolve();
    });
  });
}
