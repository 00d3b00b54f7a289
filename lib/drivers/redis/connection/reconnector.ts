import type { Clock, Random, Timer } from '../../../core/clock.js';

/** Milliseconds after which a connection counts as stable. */
const STABLE = 1000;
/** Milliseconds for which a call waits for a connection that has just broken. */
const SOON = 500;

export interface ReconnectorOptions {
  readonly clock: Clock;
  readonly random: Random;
  /** Begins one attempt. `opened` or `ended` follows. */
  readonly attempt: () => void;
  /** Looks for the reason of a failed attempt. Settles in bounded time. */
  readonly diagnose: () => Promise<void>;
  /** Connected. `isNew`: there was an outage; otherwise the connection was replaced without a failure in between. */
  readonly up: (isNew: boolean) => void;
  /** An outage: an attempt failed, or a call was refused. Called once until `up`. */
  readonly down: () => void;
}

export function retryDelay(times: number, random: Random): number {
  return Math.min(1000, 50 * 2 ** Math.min(times, 5)) * (0.5 + random() / 2);
}

/**
 * Keeps one connection.
 *
 * 1. The end of a connection is no outage, because servers close idle connections. The next attempt follows at once, and
 *    calls wait for it for a moment. The store is down when that attempt fails, or when a call is refused.
 * 2. A connection that ends soon after its opening is no success. The next attempt waits longer, and a store that is down
 *    is up again only with a connection that lasts.
 * 3. Timers of attempts keep the process alive: nothing else shows that the process waits for the store.
 */
export class Reconnector {
  readonly #options: ReconnectorOptions;
  readonly #clock: Clock;
  #isOpen = false;
  #isDown = true;
  #openedAt = 0;
  #failures = 0;
  /** The connection before ended soon after its opening. */
  #isShaky = false;
  #isClosed = false;
  #next: Timer | undefined;
  #announcing: Timer | undefined;
  #outcome = pending<boolean>();

  constructor(options: ReconnectorOptions) {
    this.#options = options;
    this.#clock = options.clock;
  }

  get isDown(): boolean {
    return this.#isDown;
  }

  /** Resolves with true when the first attempt succeeds within `limit` milliseconds. More attempts follow until `close`. */
  start(limit: number): Promise<boolean> {
    this.#options.attempt();
    return this.#opensWithin(limit);
  }

  /** Resolves with true when there is a connection now or in a moment. */
  isBackSoon(): Promise<boolean> {
    return this.#opensWithin(SOON);
  }

  opened(): void {
    if (this.#isClosed) return;
    this.#isOpen = true;
    this.#openedAt = this.#clock.now();
    this.#outcome.resolve(true);
    if (!this.#isDown || !this.#isShaky) return this.#announce();
    this.#announcing = this.#clock.after(STABLE, () => this.#announce());
  }

  /** The connection, or the attempt, is over. */
  ended(): void {
    if (this.#isClosed) return;
    const wasOpen = this.#isOpen;
    const lasted = wasOpen && this.#clock.now() - this.#openedAt >= STABLE;
    this.#announcing?.cancel();
    this.#isOpen = false;
    this.#isShaky = wasOpen && !lasted;
    this.#failures = lasted ? 0 : this.#failures + 1;
    if (wasOpen) {
      this.#outcome = pending();
      this.#attemptIn(lasted ? 0 : retryDelay(this.#failures, this.#options.random));
    } else {
      void this.#failed();
    }
  }

  /** A call was not sent, or the server that it reached did not execute it. */
  refused(): void {
    if (this.#isDown || this.#isClosed) return;
    this.#isDown = true;
    this.#options.down();
  }

  close(): void {
    this.#isClosed = true;
    this.#next?.cancel();
    this.#announcing?.cancel();
    this.#outcome.resolve(false);
  }

  #announce(): void {
    const isNew = this.#isDown;
    this.#isDown = false;
    this.#options.up(isNew);
  }

  async #failed(): Promise<void> {
    await this.#options.diagnose();
    if (this.#isClosed) return;
    this.#outcome.resolve(false);
    this.refused();
    this.#attemptIn(retryDelay(this.#failures, this.#options.random));
  }

  #attemptIn(delay: number): void {
    this.#next = this.#clock.after(delay, () => this.#options.attempt(), true);
  }

  #opensWithin(limit: number): Promise<boolean> {
    return new Promise((resolve) => {
      const timer = this.#clock.after(limit, () => resolve(false), true);
      void this.#outcome.promise.then((opened) => {
        timer.cancel();
        resolve(opened && this.#isOpen);
      });
    });
  }
}

interface Pending<T> {
  readonly promise: Promise<T>;
  readonly resolve: (value: T) => void;
}

function pending<T>(): Pending<T> {
  let resolve!: (value: T) => void;
  const promise = new Promise<T>((settle) => (resolve = settle));
  return { promise, resolve };
}
