import type { Milliseconds } from './duration.js';

/** By how much a tick may come before its scheduled time, where nobody says otherwise. */
export const TICK_TOLERANCE: Milliseconds = 1000;
