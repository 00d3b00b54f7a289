import type { Milliseconds } from './duration.js';

/**
 * The part of a TTL in which a lease must not be trusted: clocks of different machines run at slightly different
 * rates, and timers fire late.
 */
export function driftMargin(ttl: Milliseconds): Milliseconds {
  return Math.ceil(0.01 * ttl) + 2;
}
