import type { Milliseconds } from '../core/duration.js';
/** The first instant of a schedule after `after`, never equal to it. Milliseconds since 1970; Infinity: there is none. */
export type NextInstant = (after: number) => number;

/** One scheduled fire of a job. */
export interface Fire {
  /** Milliseconds since 1970, the same number on every instance. */
  readonly instant: number;
  /** The time from the last instant before the tick to the first one after it; Infinity where one is missing. */
  readonly gap: Milliseconds;
}

const SHORTEST_LOOK_BACK: Milliseconds = 2000;
const LONGEST_LOOK_BACK: Milliseconds = 10 * 366 * 24 * 3600 * 1000;

/**
 * The fire that a tick at `now` is for. Timers may be early or late, so:
 *
 * 1. The instant ahead, when it is the nearest one and at most `tolerance` away, or half the interval where that is
 *    shorter.
 * 2. Otherwise the newest instant that has passed, however late the tick is.
 */
export function fireAt(next: NextInstant, now: number, tolerance: Milliseconds): Fire {
  const before = newestInstant(next, now);
  const after = next(now);
  const gap = after - before;
  const early = after - now;
  const isForNext = early < now - before && early <= Math.min(tolerance, gap / 2);
  return { instant: isForNext ? after : before, gap };
}

/** The newest instant that is not after `now`; -Infinity where the eight years before `now` have none. */
export function newestInstant(next: NextInstant, now: number): number {
  // A schedule only knows the instant after another one. So look further and further back, then search in between.
  for (let back = SHORTEST_LOOK_BACK; back < LONGEST_LOOK_BACK; back *= 2) {
    const found = next(now - back);
    if (found <= now) return newestBetween(next, found, now);
  }
  return -Infinity;
}

function newestBetween(next: NextInstant, found: number, now: number): number {
  let newest = found;
  let some = found;
  let none = now;
  while (none - some > 1) {
    const middle = Math.floor((some + none) / 2);
    const instant = next(middle);
    if (instant > now) none = middle;
    else {
      newest = Math.max(newest, instant);
      // At a change between summer and winter time, cron may give an instant that is not after `middle`. Still go ahead.
      some = Math.max(middle, instant);
    }
  }
  const last = next(some);
  return last <= now ? Math.max(newest, last) : newest;
}
