import type { Clock } from '../../../core/clock.js';

/** Two right clocks may drift apart by this: fixed milliseconds, and a part of the time that has passed. */
const TOLERANCE = 1000;
const DRIFT = 0.001;

/**
 * Detects a step of a server's clock between two looks.
 *
 * Not covered: which of the two clocks was set, the server's or ours. So the result is a hint: a warning for people and a
 * reason for holders to look at their leases. No deadline depends on it.
 */
export class ClockStep {
  readonly #clock: Clock;
  /** The lead of the server's clock over ours, in ms. It is between the two, because the answer took time. */
  #before: { readonly from: number; readonly to: number; readonly at: number } | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * @param time the server's, in ms  @param sentAt our clock's, when it was asked
   * @returns by how many ms the server's clock jumped ahead (above 0) or back (below 0) since the last look
   */
  look(time: number, sentAt: number): number {
    const at = this.#clock.now();
    const { from, to, at: then } = this.#before ?? { from: -Infinity, to: Infinity, at };
    this.#before = { from: time - at, to: time - sentAt, at };
    const ahead = this.#before.from - to;
    const back = from - this.#before.to;
    const tolerance = TOLERANCE + DRIFT * (at - then);
    if (ahead > tolerance) return ahead;
    return back > tolerance ? -back : 0;
  }
}
