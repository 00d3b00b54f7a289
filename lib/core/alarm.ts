import type { Clock, Timer } from './clock.js';

/** One timer for many things that are due at times of their own: it is set to the earliest, and rings once. */
export class Alarm {
  readonly #clock: Clock;
  readonly #ring: () => void;
  #timer: Timer | undefined;
  #at = Infinity;

  /** @param ring looks for what is due, and sets the alarm again for the rest */
  constructor(clock: Clock, ring: () => void) {
    this.#clock = clock;
    this.#ring = ring;
  }

  /**
   * Rings at this time of the clock, or earlier: an alarm that is early enough is left as it is.
   *
   * @param now for callers that have just read the clock
   */
  setFor(at: number, now?: number): void {
    if (at >= this.#at) return;
    this.#timer?.cancel();
    this.#at = at;
    this.#timer = this.#clock.after(at - (now ?? this.#clock.now()), () => {
      this.#at = Infinity;
      this.#ring();
    });
  }
}
