import type { Clock } from '../core/clock.js';
import type { DriverEvent } from '../core/lock-driver.js';

/** A store that was away for so many milliseconds, or less, may be back at the next try. */
export const BLIP = 500;

/** Whether the store can be reached, as far as the driver told. */
export class StoreStatus {
  readonly #clock: Clock;
  readonly #onUp = new Set<() => void>();
  #downSince: number | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** When it became unreachable, by the monotonic clock; undefined while it can be reached. */
  get downSince(): number | undefined {
    return this.#downSince;
  }

  heard({ type }: DriverEvent): void {
    if (type === 'down') this.#downSince ??= this.#clock.now();
    if (type !== 'up') return;
    this.#downSince = undefined;
    for (const resolve of this.#onUp) resolve();
  }

  /** Resolves when the driver says that the store can be reached, or after so many milliseconds. */
  upWithin(milliseconds: number): Promise<void> {
    return new Promise((resolve) => {
      const over = (): void => {
        timer.cancel();
        this.#onUp.delete(over);
        resolve();
      };
      const timer = this.#clock.after(milliseconds, over);
      this.#onUp.add(over);
    });
  }
}
