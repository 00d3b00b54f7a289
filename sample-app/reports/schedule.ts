const EVERY = 2000;

/** Every two seconds, so that there is something to see. A real nightly report has `'0 2 * * *'`. */
export const NIGHTLY = '*/2 * * * * *';

/** The second for which the handler that runs now was scheduled. */
export function currentTick(): Date {
  return new Date(Math.floor(Date.now() / EVERY) * EVERY);
}
