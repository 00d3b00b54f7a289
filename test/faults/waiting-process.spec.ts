import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const script = fileURLToPath(new URL('waiting-process.mjs', import.meta.url));

interface Ended {
  readonly code: unknown;
  readonly output: string;
}

function run(scenario: string): Promise<Ended> {
  return new Promise((resolve) => {
    execFile(process.execPath, [script, scenario], { timeout: 60_000 }, (error, stdout) =>
      resolve({ code: error ? (error.killed ? 'killed' : error.code) : 0, output: stdout.trim() }),
    );
  });
}

// The process has nothing else that keeps it alive: with timers that do not, it would end in the middle of the wait.
describe('a process lives as long as a caller of it', () => {
  it.concurrent.each([
    ['waits behind a lock of its own', 'LockNotAcquiredError'],
    ['waits for ever', 'granted'],
    ['waits for another instance', 'granted'],
    ['tries several times', 'granted'],
    ['tries again what was not sent', 'DriverUnavailableError'],
    ['waits for a sibling that shares the lock', 'granted'],
    ['closes while a lock is held', 'null'],
  ])('%s', { timeout: 70_000 }, async (scenario, result) => {
    expect(await run(scenario)).toEqual({ code: 0, output: `done: ${result}` });
  });
});

describe('a process ends by itself that only', () => {
  it.concurrent.each([
    ['holds a lock', 'granted'],
    ['leads, and is a candidate', 'started'],
    ['has waited', 'waited'],
  ])('%s', { timeout: 70_000 }, async (scenario, result) => {
    expect(await run(scenario)).toEqual({ code: 0, output: `done: ${result}` });
  });
});
