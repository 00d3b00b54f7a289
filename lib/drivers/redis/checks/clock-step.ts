import type { Clock } from '../../../core/clock.js';

/** Two clocks that are both right may drift apart so far: a fixed part, and a part of the time that has passed. */
const TOLERANCE = 1000;
const DRIFT = 0.001;

/**
 * Notices that a server's clock went on faster or slower than ours between two looks, which are a reconnection apart or
 * more. Only a hint, for people: no deadline depends on it, and it cannot tell which of the two clocks was set.
 */
export class ClockStep {
  readonly #clock: Clock;
  /** How far the server's clock is ahead of ours, in ms: between these two, because the answer took time. */
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
