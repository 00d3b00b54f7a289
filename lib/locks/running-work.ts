import type { Clock } from '../core/clock.js';
import { onAbort } from '../core/shared-listener.js';
import { isInside, runInside } from './call-chain.js';

/** The leader-only code of one instance that is running, whatever term it was started in. */
export class LeaderWork {
  readonly #clock: Clock;
  #running = 0;
  #onDrained: (() => void) | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  async run<T>(work: () => T | Promise<T>): Promise<T> {
    this.#running++;
    try {
      return await runInside(this, undefined, work);
    } finally {
      if (--this.#running === 0) this.#onDrained?.();
    }
  }

  /** How much of it runs. */
  get running(): number {
    return this.#running;
  }

  /** Whether the caller is itself part of what runs, and so cannot wait for its end. */
  get isCaller(): boolean {
    return isInside(this);
  }

  /** Whether all of it ended: within so many milliseconds, or else before the signal aborted. */
  drained(limit: number | AbortSignal): Promise<boolean> {
    if (this.#running === 0) return Promise.resolve(true);
    return new Promise((resolve) => {
      const giveUp = (): void => resolve(false);
      const forget = this.#whenOver(limit, giveUp);
      this.#onDrained = () => {
        forget();
        resolve(true);
      };
    });
  }

  #whenOver(limit: number | AbortSignal, giveUp: () => void): () => void {
    if (typeof limit !== 'number') return onAbort(limit, giveUp);
    const timer = this.#clock.after(limit, giveUp);
    return () => timer.cancel();
  }
}
