import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';

export async function until(
  condition: () => boolean | Promise<boolean>,
  milliseconds: number,
  what: string,
): Promise<void> {
  const end = performance.now() + milliseconds;
  while (!(await condition())) {
    assert.ok(performance.now() < end, `${what} within ${milliseconds} ms`);
    await sleep(5);
  }
}
