import type { Clock, Timer } from '../core/clock.js';

/** Runs `task` at a call; the calls that come while it runs cause one more run after it, however many they are. */
export function coalesced(task: () => Promise<void>): () => void {
  let isRunning = false;
  let isDue = false;
  const run = async (): Promise<void> => {
    isRunning = true;
    while (isDue) {
      isDue = false;
      // What goes wrong once must not be the last time.
      await task().catch(() => undefined);
    }
    isRunning = false;
  };
  return () => {
    isDue = true;
    if (!isRunning) void run();
  };
}

/** What `work` comes to, or undefined when it takes longer; it then goes on unobserved. */
export function within<T>(clock: Clock, milliseconds: number, work: Promise<T>): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    const timer = clock.after(milliseconds, () => resolve(undefined));
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

  of(milliseconds: number): Promise<void> {
    return new Promise((resolve) => {
      this.#resume = resolve;
      this.#timer = this.#clock.after(milliseconds, resolve);
    });
  }

  end(): void {
    this.#timer?.cancel();
    this.#resume?.();
  }
}
