import assert from 'node:assert/strict';
import { SystemClock } from '../core/clock.js';
import type { Milliseconds } from '../core/duration.js';
import { pause } from '../core/pause.js';

/** Resolves once the condition holds, in real time. Fails with `expected`, a sentence, when that takes too long. */
export async function until(
  condition: () => boolean | Promise<boolean>,
  limit: Milliseconds,
  expected: string,
): Promise<void> {
  const clock = new SystemClock();
  const end = clock.now() + limit;
  while (!(await condition())) {
    assert.ok(clock.now() < end, `${expected} within ${limit} ms`);
    await pause(clock, 5, true);
  }
}
