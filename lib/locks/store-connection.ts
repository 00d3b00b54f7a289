import type { Clock } from '../core/clock.js';
import { detached } from '../core/detached.js';
import type { Milliseconds } from '../core/duration.js';
import type { DriverEvent, DriverListener, LockDriver } from '../core/lock-driver.js';

/** A store that was away for this time, or less, may be back at the next try. */
export const BLIP: Milliseconds = 500;

/** The one connection of an instance to its store: opened on the first demand, up or down as the driver reported last. */
export class StoreConnection {
  readonly #driver: LockDriver;
  readonly #clock: Clock;
  readonly #listener: DriverListener;
  readonly #onUp = new Set<() => void>();
  #connecting: Promise<void> | undefined;
  #isStarted = false;
  #downSince: number | undefined;

  /** @param listener gets each event of the driver; it passes those on to `heard` */
  constructor(driver: LockDriver, clock: Clock, listener: DriverListener) {
    this.#driver = driver;
    this.#clock = clock;
    this.#listener = listener;
  }

  /** Rejects when the first connection fails; the driver then goes on trying. */
  connect(): Promise<void> {
    // The first caller of a lock may be the one who connects: the promise must not keep its frames.
    this.#connecting ??= detached(() =>
      this.#driver.connect(this.#listener).catch((cause: Error) => {
        this.heard({ type: 'down', cause });
        throw cause;
      }),
    );
    return this.#connecting;
  }

  /** Settles when the first connection to the store has succeeded or failed; undefined from then on. */
  starting(): Promise<void> | undefined {
    if (this.#isStarted) return undefined;
    const settled = (): void => void (this.#isStarted = true);
    return this.connect().then(settled, settled);
  }

  /** When the store became unreachable, by the monotonic clock; undefined while it can be reached. */
  get downSince(): number | undefined {
    return this.#downSince;
  }

  heard({ type }: DriverEvent): void {
    if (type === 'down') this.#downSince ??= this.#clock.now();
    if (type !== 'up') return;
    this.#downSince = undefined;
    for (const resolve of this.#onUp) resolve();
  }

  /** Resolves when the driver reports that the store can be reached, or after this time. */
  upWithin(limit: Milliseconds): Promise<void> {
    return new Promise((resolve) => {
      const over = (): void => {
        timer.cancel();
        this.#onUp.delete(over);
        resolve();
      };
      const timer = this.#clock.after(limit, over);
      this.#onUp.add(over);
    });
  }

  async close(): Promise<void> {
    if (this.#connecting) await this.#driver.close(this.#listener);
  }
}
