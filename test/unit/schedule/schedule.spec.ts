import { CronTime } from 'cron';
import { describe, expect, it } from 'vitest';
import { fireAt, newestInstant, type NextInstant } from '../../../lib/schedule/schedule.js';

/** Instants at fixed times. */
function at(...instants: number[]): NextInstant {
  return (after) => instants.find((instant) => instant > after) ?? Infinity;
}

function every(interval: number, offset = 0): NextInstant {
  return (after) => (Math.floor((after - offset) / interval) + 1) * interval + offset;
}

function cron(expression: string): NextInstant {
  const time = new CronTime(expression, 'UTC');
  return (after) => time.getNextDateFrom(new Date(after), 'UTC').toMillis();
}

const NOON = Date.UTC(2026, 5, 15, 12);

describe('the newest instant of a schedule', () => {
  it('is what going through all of them finds', () => {
    for (let seed = 1; seed <= 300; seed++) {
      const random = (() => {
        let state = seed * 7919;
        return () => (state = (state * 48_271) % 2_147_483_647) / 2_147_483_647;
      })();
      const instants = new Set<number>();
      while (instants.size < 30) instants.add(Math.floor(random() ** 4 * 1e9));
      const sorted = [...instants].sort((a, b) => a - b);
      const now = random() < 0.3 ? sorted[Math.floor(random() * 30)]! : Math.floor(random() * 1e9);
      const expected = sorted.findLast((instant) => instant <= now) ?? -Infinity;
      expect(newestInstant(at(...sorted), now), `seed ${seed}`).toBe(expected);
    }
  });

  it.each([
    ['* * * * * *', '2026-06-15T12:00:00Z'],
    ['30 * * * * *', '2026-06-15T11:59:30Z'],
    ['0 0 2 * * *', '2026-06-15T02:00:00Z'],
    ['0 0 0 1 1 *', '2026-01-01T00:00:00Z'],
    ['0 0 0 29 2 *', '2024-02-29T00:00:00Z'],
  ])('of the cron expression %s is %s', (expression, expected) => {
    expect(new Date(newestInstant(cron(expression), NOON)).toISOString()).toBe(new Date(expected).toISOString());
  });
});

it('a schedule that tells an instant which has passed, as at a change of the clocks, is not followed for ever', () => {
  const goesBack: NextInstant = (after) => (after > 5000 && after < 8000 ? 4000 : every(1000)(after));
  expect(newestInstant(goesBack, 8500)).toBeLessThanOrEqual(8500);
  expect(newestInstant(goesBack, 7500)).toBeLessThanOrEqual(7500);
});

describe('the fire that a tick is for', () => {
  it.each<[string, NextInstant, number, number, number]>([
    ['on time', every(60_000), 120_000, 1000, 120_000],
    ['a little late', every(60_000), 120_400, 1000, 120_000],
    ['early within the tolerance', every(60_000), 119_001, 1000, 120_000],
    ['early by just the tolerance', every(60_000), 119_000, 1000, 120_000],
    ['early by more: late for the one before', every(60_000), 118_999, 1000, 60_000],
    ['late by more than the tolerance', every(60_000), 150_000, 1000, 120_000],
    ['late by almost the interval', every(60_000), 178_999, 1000, 120_000],
    ['in the first half of a short interval', every(1000), 5499, 1000, 5000],
    ['in the second half of a short interval', every(1000), 5501, 1000, 6000],
    ['in the middle', every(1000), 5500, 1000, 5000],
    ['of a schedule that begins', at(5000), 4500, 1000, 5000],
    ['before a schedule begins', at(5000), 100, 1000, -Infinity],
    ['of a schedule that has ended', at(5000), 9000, 1000, 5000],
  ])('that comes %s', (_when, next, now, tolerance, expected) => {
    expect(fireAt(next, now, tolerance).instant).toBe(expected);
  });

  it('is the same for all instances that tick within half a second of one another', () => {
    for (let skew = -499; skew <= 499; skew += 37) {
      expect(fireAt(every(1000), 10_000 + skew, 1000).instant).toBe(10_000);
    }
  });
});
