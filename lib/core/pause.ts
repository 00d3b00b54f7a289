import type { Clock } from './clock.js';

/** Resolves after a time in milliseconds. A pause alone keeps no process alive. */
export function pause(clock: Clock, milliseconds: number): Promise<void> {
  return new Promise((resolve) => void clock.after(milliseconds, resolve));
}
