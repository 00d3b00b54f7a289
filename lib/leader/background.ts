import type { Clock, Timer } from '../core/clock.js';
import type { Milliseconds } from '../core/duration.js';

/** Runs `task` at a call. All calls that come while it runs cause one more run after it. A run that fails is ignored. */
export function coalesced(task: () => Promise<void>): () => void {
  let isRunning = false;
  let isDue = false;
  const run = async (): Promise<void> => {
    isRunning = true;
    while (isDue) {
      isDue = false;
      // A run that fails must not keep later calls from running it.
      await task().catch(() => undefined);
    }
    isRunning = false;
  };
  return () => {
    isDue = true;
    if (!isRunning) void run();
  };
}

/** The result of `work`, or undefined when it takes longer than this time. It then goes on, and its result is ignored. */
export function within<T>(clock: Clock, time: Milliseconds, work: Promise<T>): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    const timer = clock.after(time, () => resolve(undefined));
    void work.then(resolve, reject).finally(() => timer.cancel());
  });
}

/** A pause that can be cut short. */
export class Pause {
  readonly #clock: Clock;
  #timer: Timer | undefined;
  #resume: (() => void) | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  of(time: Milliseconds): Promise<void> {
    return new Promise((resolve) => {
      this.#resume = resolve;
      this.#timer = this.#clock.after(time, resolve);
    });
  }

  end(): void {
    this.#timer?.cancel();
    this.#resume?.();
  }
}
