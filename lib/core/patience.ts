import type { Clock, Timer } from './clock.js';

/** Thrown inside the package when the time to wait is over; callers turn it into the error that fits. */
export const timeUp = Symbol('time up');

/**
 * How long one caller is prepared to wait: until a time limit, its own AbortSignal, or the closing of the service,
 * whichever comes first.
 */
export class Patience {
  readonly #signal: AbortSignal | undefined;
  readonly #timer: Timer | undefined;
  readonly #onAbort = (): void => this.end(this.#signal!.reason);
  #ended: { readonly reason: unknown } | undefined;
  #interrupt: ((reason: unknown) => void) | undefined;

  constructor(clock: Clock, wait: number, signal: AbortSignal | undefined) {
    this.#signal = signal;
    this.#timer = wait === Infinity ? undefined : clock.after(wait, () => this.end(timeUp));
    if (signal?.aborted) this.end(signal.reason);
    else signal?.addEventListener('abort', this.#onAbort, { once: true });
  }

  end(reason: unknown): void {
    this.#ended ??= { reason };
    this.#interrupt?.(this.#ended.reason);
  }

  /** Throws why patience ended, if it has. */
  check(): void {
    if (this.#ended) throw this.#ended.reason;
  }

  /** The outcome of `work`, or a rejection when patience ends first; `work` then goes on unobserved. */
  bound<T>(work: Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.#interrupt = reject;
      work.then(resolve, reject);
      if (this.#ended) reject(this.#ended.reason);
    });
  }

  dispose(): void {
    this.#timer?.cancel();
    this.#signal?.removeEventListener('abort', this.#onAbort);
    this.#interrupt = undefined;
  }
}
