import type { Clock } from '../core/clock.js';
import type { Milliseconds } from '../core/duration.js';
import { onAbort } from '../core/shared-listener.js';
import { isInside, runInside } from './call-chain.js';

/** The leader-only code of one instance that runs, in whichever term it was started. */
export class RunningWork {
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

  /** The number of calls that run. */
  get running(): number {
    return this.#running;
  }

  /** Is the caller itself one of those that run? It cannot wait for its own end. */
  get isCaller(): boolean {
    return isInside(this);
  }

  /** Resolves with true when nothing runs any more, with false after this time or when the signal aborts. */
  drained(limit: Milliseconds | AbortSignal): Promise<boolean> {
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

  #whenOver(limit: Milliseconds | AbortSignal, giveUp: () => void): () => void {
    if (typeof limit !== 'number') return onAbort(limit, giveUp);
    const timer = this.#clock.after(limit, giveUp);
    return () => timer.cancel();
  }
}
