import type { Clock, Timer } from './clock.js';
import { type Linked, LinkedList } from './linked-list.js';

/** Thrown inside the package when the time to wait is over; callers turn it into the error that fits. */
export const timeUp = Symbol('time up');

/**
 * How long one caller is prepared to wait: until a time limit, its own AbortSignal, or the closing of the service,
 * whichever comes first.
 */
export class Patience implements Linked<Patience> {
  before: Patience | undefined;
  after: Patience | undefined;
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

/** All callers of an instance that wait for something, with one timer for the deadlines of all. */
export class WaitingCallers {
  readonly #clock: Clock;
  readonly #waiting = new LinkedList<Patience>();
  #timer: Timer | undefined;
  #timerAt = Infinity;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  add(now: number, wait: number, signal: AbortSignal | undefined, insideGuardedCall: boolean): Patience {
    const patience = new Patience(this, now + wait, signal, insideGuardedCall);
    this.#waiting.append(patience);
    this.#arm(patience.deadline, now);
    return patience;
  }

  remove(patience: Patience): void {
    this.#waiting.remove(patience);
  }

  /** Ends the patience of those that `which` selects. */
  end(reason: unknown, which: (patience: Patience) => boolean): void {
    for (const patience of this.#waiting.items()) if (which(patience)) patience.end(reason);
  }

  /** A timer that is early enough is left as it is: most callers have gone before their time is up. */
  #arm(at: number, now: number): void {
    if (at >= this.#timerAt) return;
    this.#timer?.cancel();
    this.#timerAt = at;
    this.#timer = this.#clock.after(at - now, () => this.#tick());
  }

  #tick(): void {
    this.#timerAt = Infinity;
    const now = this.#clock.now();
    this.end(timeUp, ({ deadline }) => deadline <= now);
    let next = Infinity;
    for (const { deadline } of this.#waiting.items()) if (deadline > now) next = Math.min(next, deadline);
    this.#arm(next, now);
  }
}
