import type { Random } from './clock.js';
import type { Milliseconds } from './duration.js';

/** Exponential backoff with jitter: between half and all of `base * 2^attempt`, never over `cap`. */
export function backoff(attempt: number, base: Milliseconds, cap: Milliseconds, random: Random): Milliseconds {
  const ceiling = Math.min(cap, base * 2 ** Math.min(attempt, 30));
  return ceiling * (0.5 + random() / 2);
}
