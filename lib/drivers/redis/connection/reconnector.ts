import { SystemClock, type Timer } from '../../../core/clock.js';

/** Milliseconds after which a connection counts as one that lasts. */
const STABLE = 1000;
/** Milliseconds for which a call waits for a connection that has just broken. */
const SOON = 500;

export interface ReconnectorOptions {
  /** Begins one attempt, whose outcome is told by `opened` or `ended`. */
  readonly attempt: () => void;
  /** Finds out why an attempt failed. Settles in bounded time. */
  readonly diagnose: () => Promise<void>;
  /** Connected. `isNew`: it was down before; else the connection was replaced without a failure in between. */
  readonly up: (isNew: boolean) => void;
  /** An attempt failed, or a call was refused: an outage. Once until `up`. */
  readonly down: () => void;
}

export function retryDelay(times: number): number {
  return Math.min(1000, 50 * 2 ** Math.min(times, 5)) * (0.5 + Math.random() / 2);
}

/**
 * Keeps one connection. A server that closes an idle connection is no outage: the first new attempt follows at once, and
 * calls wait for it a moment. Only when it fails, or a call is refused, the store is down.
 *
 * A connection that ends soon after it was opened is no success: the next attempt waits longer, and a store that is down
 * is up again only when a connection lasts. Timers of attempts keep the process alive; there is no other sign that it
 * waits for the store.
 */
export class Reconnector {
  readonly #options: ReconnectorOptions;
  readonly #clock = new SystemClock();
  #isOpen = false;
  #isDown = true;
  #openedAt = 0;
  #failures = 0;
  /** The connection before ended soon after it was opened. */
  #isShaky = false;
  #isClosed = false;
  #next: Timer | undefined;
  #announcing: Timer | undefined;
  #outcome = pending<boolean>();

  constructor(options: ReconnectorOptions) {
    this.#options = options;
  }

  get isDown(): boolean {
    return this.#isDown;
  }

  /** Whether the first attempt succeeds within `limit` milliseconds; further ones follow until `close`. */
  start(limit: number): Promise<boolean> {
    this.#options.attempt();
    return this.#opensWithin(limit);
  }

  /** Whether there is a connection, or one again in a moment. */
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
      this.#attemptIn(lasted ? 0 : retryDelay(this.#failures));
    } else {
      void this.#failed();
    }
  }

  /** A call could not be sent, or was not executed because of the server that it reached. */
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
    this.#attemptIn(retryDelay(this.#failures));
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
