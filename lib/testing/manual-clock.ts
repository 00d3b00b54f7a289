import { setImmediate } from 'node:timers/promises';
import type { Clock, Timer } from '../core/clock.js';
import { detached } from '../core/detached.js';
import { type Duration, type Milliseconds, toMilliseconds } from '../core/duration.js';

/** A duration that may also be 0, a part of a millisecond, or years. */
function passed(time: Duration, call: string): Milliseconds {
  return typeof time === 'number' && time >= 0 && time < Infinity ? time : toMilliseconds(time, `ManualClock.${call}`);
}

interface PendingTimer {
  readonly at: number;
  readonly task: () => void;
}

/**
 * A clock that a test moves. Timers run in the order of their times. Promises settle between two timers.
 *
 * Not covered: timers of other code. `setTimeout` still runs in real time.
 */
export class ManualClock implements Clock {
  readonly #timers = new Set<PendingTimer>();
  readonly #epoch: number;
  #now = 0;

  /** @param epoch the time of day at the start, in milliseconds since 1970 */
  constructor(epoch = 1_700_000_000_000) {
    this.#epoch = epoch;
  }

  now(): number {
    return this.#now;
  }

  wall(): number {
    return this.#epoch + this.#now;
  }

  after(delay: Milliseconds, task: () => void): Timer {
    const timer = { at: this.#now + Math.max(0, delay), task };
    this.#timers.add(timer);
    return { cancel: () => this.#timers.delete(timer) };
  }

  /**
   * Lets time pass, as in a process whose event loop runs.
   *
   * @throws LockConfigError when `time` is neither a duration nor 0
   */
  async advance(time: Duration): Promise<void> {
    const end = this.#now + passed(time, 'advance()');
    await setImmediate();
    for (let next = this.#next(end); next; next = this.#next(end)) {
      this.#timers.delete(next);
      this.#now = Math.max(this.#now, next.at);
      detached(next.task);
      await setImmediate();
    }
    // A task may have blocked past it.
    this.#now = Math.max(this.#now, end);
    await setImmediate();
  }

  /**
   * Lets time pass and runs nothing, as in a process that is stopped or whose event loop is blocked.
   *
   * @throws LockConfigError when `time` is neither a duration nor 0
   */
  block(time: Duration): void {
    this.#now += passed(time, 'block()');
  }

  #next(end: number): PendingTimer | undefined {
    let next: PendingTimer | undefined;
    for (const timer of this.#timers) if (timer.at <= end && (!next || timer.at < next.at)) next = timer;
    return next;
  }
}
