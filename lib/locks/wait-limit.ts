import type { Clock, Timer } from '../core/clock.js';
import { Deadlines } from '../core/deadlines.js';
import { LONGEST_DURATION, type Milliseconds } from '../core/duration.js';
import type { Timed } from '../core/heap.js';
import { TooManyWaitingError } from '../core/lock-errors.js';
import { onAbort } from '../core/shared-listener.js';

/** Thrown inside of the package when the time to wait is over; the engine turns it into the error that fits. */
export const WAIT_IS_OVER = Symbol('time up');

const NOTHING = (): void => undefined;

/** How many callers may wait at once. */
export interface WaitingLimits {
  readonly inAll: number;
  readonly perKey: number;
}

export interface Caller {
  /** As the caller named it. */
  readonly key: string;
  /** As the store knows it. */
  readonly storeKey: string;
  /** Infinity: for ever. */
  readonly wait: Milliseconds;
  readonly signal?: AbortSignal | undefined;
  /** The caller is itself inside of a guarded call, which a closing service waits for. */
  readonly insideGuardedCall?: boolean | undefined;
  /** Nobody awaits the result, so the wait keeps no process alive and is not counted: a campaign. */
  readonly isBackground?: boolean | undefined;
}

/**
 * How long one caller is prepared to wait: until a time limit, its own AbortSignal, or the closing of the service,
 * whichever comes first.
 */
export class WaitLimit implements Timed {
  place: number | undefined;
  readonly deadline: number;
  readonly caller: Caller;
  readonly #callers: WaitingCallers;
  readonly #unlisten: (() => void) | undefined;
  #isWaiting = false;
  #ended: { readonly reason: unknown } | undefined;
  #interrupt: ((reason: unknown) => void) | undefined;

  constructor(callers: WaitingCallers, caller: Caller, now: number) {
    const { wait, signal } = caller;
    this.#callers = callers;
    this.caller = caller;
    this.deadline = now + wait;
    if (signal) this.#unlisten = onAbort(signal, () => this.end(signal.reason));
  }

  end(reason: unknown): void {
    this.#ended ??= { reason };
    this.#interrupt?.(this.#ended.reason);
  }

  /** Throws the reason of the end, once the wait is over. */
  throwIfOver(): void {
    if (this.#ended) throw this.#ended.reason;
  }

  /**
   * The outcome of `work`, or a rejection when the wait is over first; `work` then goes on.
   *
   * @param settled called at the end of `work`, also after a rejection
   */
  race<T>(work: Promise<T>, settled: () => void = NOTHING): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.#interrupt = reject;
      work.then(
        (result) => {
          settled();
          resolve(result);
        },
        (reason: unknown) => {
          settled();
          reject(reason);
        },
      );
      if (this.#ended) reject(this.#ended.reason);
    });
  }

  /**
   * As `race`, for work that may take as long as others hold a key: from here on this is a waiting caller.
   *
   * @throws TooManyWaitingError
   */
  wait<T>(work: Promise<T>): Promise<T> {
    if (!this.#isWaiting && !this.caller.isBackground) {
      this.#callers.beginWaiting(this.caller);
      this.#isWaiting = true;
    }
    return this.race(work);
  }

  dispose(): void {
    this.#callers.remove(this);
    if (this.#isWaiting) this.#callers.endWaiting(this.caller);
    this.#unlisten?.();
    this.#interrupt = undefined;
  }
}

/**
 * All callers of an instance, with a limit on those that wait. While one of them waits the process does not end by
 * itself: who awaits a lock gets an answer, also where only our own timers keep the process alive.
 */
export class WaitingCallers {
  readonly #clock: Clock;
  readonly #limits: WaitingLimits;
  readonly #callers: Deadlines<WaitLimit>;
  readonly #perKey = new Map<string, number>();
  #waiting = 0;
  #keepAlive: Timer | undefined;

  constructor(clock: Clock, limits: WaitingLimits = { inAll: Infinity, perKey: Infinity }) {
    this.#clock = clock;
    this.#limits = limits;
    this.#callers = new Deadlines(clock, (waitLimit) => waitLimit.end(WAIT_IS_OVER));
  }

  add(caller: Caller, now: number): WaitLimit {
    const waitLimit = new WaitLimit(this, caller, now);
    this.#callers.add(waitLimit, now);
    return waitLimit;
  }

  remove(waitLimit: WaitLimit): void {
    this.#callers.remove(waitLimit);
  }

  /** Ends the waits that `which` selects. */
  end(reason: unknown, which: (caller: Caller) => boolean): void {
    for (const waitLimit of this.#callers.items()) if (which(waitLimit.caller)) waitLimit.end(reason);
  }

  /** @throws TooManyWaitingError */
  beginWaiting({ key, storeKey }: Caller): void {
    const { inAll, perKey } = this.#limits;
    const ofKey = this.#perKey.get(storeKey) ?? 0;
    if (this.#waiting >= inAll) throw new TooManyWaitingError(key, this.#waiting, 'lock.maxWaiting');
    if (ofKey >= perKey) throw new TooManyWaitingError(key, ofKey, 'lock.maxWaitingPerKey');
    this.#perKey.set(storeKey, ofKey + 1);
    if (this.#waiting++ === 0) this.#stayAlive();
  }

  endWaiting({ storeKey }: Caller): void {
    const ofKey = this.#perKey.get(storeKey)!;
    if (ofKey > 1) this.#perKey.set(storeKey, ofKey - 1);
    else this.#perKey.delete(storeKey);
    if (--this.#waiting === 0) this.#keepAlive?.cancel();
  }

  #stayAlive(): void {
    this.#keepAlive = this.#clock.after(LONGEST_DURATION, () => this.#stayAlive(), true);
  }
}
