/** The first instant of a schedule strictly after another one, in milliseconds since 1970; Infinity where there is none. */
export type NextInstant = (after: number) => number;

/** What a tick belongs to. */
export interface Fire {
  /** Milliseconds since 1970, the same number on every instance. */
  readonly instant: number;
  /** Milliseconds between the instants before and after the tick; Infinity where one is missing. */
  readonly gap: number;
}

const SHORTEST_LOOK_BACK = 2000;
const LONGEST_LOOK_BACK = 10 * 366 * 24 * 3600 * 1000;

/**
 * The fire that a tick at `now` is for: the scheduled instant nearest to it, where the one ahead counts only within
 * `tolerance`, or half the interval where that is shorter. A tick that is late by more is for the newest instant.
 */
export function fireAt(next: NextInstant, now: number, tolerance: number): Fire {
  const before = newestInstant(next, now);
  const after = next(now);
  const gap = after - before;
  const early = after - now;
  const isForNext = early < now - before && early <= Math.min(tolerance, gap / 2);
  return { instant: isForNext ? after : before, gap };
}

/** The newest instant that is not after `now`; -Infinity where there is none within ten years. */
export function newestInstant(next: NextInstant, now: number): number {
  // A schedule tells what follows, not what was before: look further and further back, then search in between.
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
      // Ahead in any case: at a change of the clocks a schedule may tell an instant that is not after `middle`.
      some = Math.max(middle, instant);
    }
  }
  const last = next(some);
  return last <= now ? Math.max(newest, last) : newest;
}
