import type { Clock } from './clock.js';
import { Deadlines } from './deadlines.js';
import type { Timed } from './heap.js';

/** Thrown inside the package when the time to wait is over; callers turn it into the error that fits. */
export const timeUp = Symbol('time up');

/**
 * How long one caller is prepared to wait: until a time limit, its own AbortSignal, or the closing of the service,
 * whichever comes first.
 */
export class Patience implements Timed {
  place: number | undefined;
  readonly deadline: number;
  /** Whether the caller is itself inside a guarded call, which a closing service waits for. */
  readonly insideGuardedCall: boolean;
  readonly #callers: WaitingCallers;
  readonly #signal: AbortSignal | undefined;
  readonly #onAbort: (() => void) | undefined;
  #ended: { readonly reason: unknown } | undefined;
  #interrupt: ((reason: unknown) => void) | undefined;

  constructor(callers: WaitingCallers, deadline: number, signal: AbortSignal | undefined, insideGuardedCall: boolean) {
    this.#callers = callers;
    this.deadline = deadline;
    this.insideGuardedCall = insideGuardedCall;
    if (!signal) return;
    this.#signal = signal;
    this.#onAbort = () => this.end(signal.reason);
    if (signal.aborted) this.#onAbort();
    else signal.addEventListener('abort', this.#onAbort, { once: true });
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
    this.#callers.remove(this);
    if (this.#onAbort) this.#signal!.removeEventListener('abort', this.#onAbort);
    this.#interrupt = undefined;
  }
}

/** All callers of an instance that wait for something. */
export class WaitingCallers {
  readonly #waiting: Deadlines<Patience>;

  constructor(clock: Clock) {
    this.#waiting = new Deadlines(clock, (patience) => patience.end(timeUp));
  }

  add(now: number, wait: number, signal: AbortSignal | undefined, insideGuardedCall: boolean): Patience {
    const patience = new Patience(this, now + wait, signal, insideGuardedCall);
    this.#waiting.add(patience, now);
    return patience;
  }

  remove(patience: Patience): void {
    this.#waiting.remove(patience);
  }

  /** Ends the patience of those that `which` selects. */
  end(reason: unknown, which: (patience: Patience) => boolean): void {
    for (const patience of this.#waiting.items()) if (which(patience)) patience.end(reason);
  }
}
