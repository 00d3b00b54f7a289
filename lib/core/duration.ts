import { LockConfigError } from './errors.js';

/**
 * A number of milliseconds, or a string with a unit: `'500ms'`, `'30s'`, `'2m'`, `'1.5h'`, `'1d'`. More than 0 and at
 * most 24 days, close to the longest timer of Node.js. Parts of a millisecond are rounded up.
 */
export type Duration = number | string;

/** A duration, checked or measured: a number of milliseconds. */
export type Milliseconds = number;

/** A timer of Node runs for at most 2^31 - 1 ms, a little more than this. */
export const LONGEST_DURATION: Milliseconds = 24 * 24 * 3600 * 1000;

const units: Record<string, Milliseconds> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/**
 * A duration as a whole number.
 *
 * @throws LockConfigError that names `option` and the repair
 */
export function toMilliseconds(value: Duration, option: string): Milliseconds {
  const match = typeof value === 'string' ? /^(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)$/.exec(value) : null;
  const milliseconds = match ? Number(match[1]) * units[match[2]!]! : value;
  if (typeof milliseconds !== 'number' || !Number.isFinite(milliseconds)) {
    throw new LockConfigError(
      `${option}: ${typeof value === 'number' ? value : (JSON.stringify(value) ?? 'undefined')} is not a duration. ` +
        "Use milliseconds (5000) or a string with a unit: '500ms', '30s', '2m', '1h', '1d'.",
    );
  }
  if (milliseconds <= 0 || milliseconds > LONGEST_DURATION) {
    throw new LockConfigError(
      `${option}: ${JSON.stringify(value)} is out of range. Use more than 0 and at most 24 days.`,
    );
  }
  return Math.ceil(milliseconds);
}
