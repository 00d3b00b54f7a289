import { PendingTimers } from './pending-timers.js';
import { type Suspends, suspendsOfProcess } from './suspends.js';

/**
 * Time for one process. `now()` never goes back and counts the time that a suspended machine slept, as far as the wall
 * clock tells: a suspend shorter than a second and a paused virtual machine cannot be seen here, fencing tokens cover
 * those. Readings of two processes must never be compared.
 */
export interface Clock {
  /** Milliseconds. */
  now(): number;
  /** Milliseconds since 1970, for people and for other machines; never part of a deadline. */
  wall(): number;
  /** Runs `task` once, outside every async call chain. `keepAlive`: until then the process does not end by itself. */
  after(milliseconds: number, task: () => void, keepAlive?: boolean): Timer;
}

export interface Timer {
  cancel(): void;
}

/** The largest lead of the wall clock over the monotonic one that still counts as an adjustment, not as a suspend. */
const ADJUSTMENT = 1000;

/**
 * The system's time. All clocks that are made without arguments are one clock: they count the same suspends, also across
 * the copies of this package that one process may have loaded. After a suspend every timer is due by `now()`, as if the
 * timers had counted the sleep.
 */
export class SystemClock implements Clock {
  readonly #time: Time;

  constructor(monotonic?: () => number, wall?: () => number) {
    this.#time = monotonic && wall ? new Time(monotonic, wall) : (processTime ??= new Time());
  }

  now(): number {
    return this.#time.now();
  }

  wall(): number {
    return this.#time.wall();
  }

  after(milliseconds: number, task: () => void, keepAlive = false): Timer {
    const now = this.#time.now();
    return this.#time.timers.add(now, now + milliseconds, task, keepAlive);
  }
}

let processTime: Time | undefined;

class Time {
  readonly wall: () => number;
  readonly timers = new PendingTimers(() => void this.now());
  readonly #monotonic: () => number;
  readonly #suspends: Suspends;
  /** How much sleep the timers know of. */
  #slept: number;

  constructor(monotonic?: () => number, wall?: () => number) {
    this.#monotonic = monotonic ?? (() => performance.now());
    this.wall = wall ?? (() => Date.now());
    const lead = this.wall() - this.#monotonic();
    this.#suspends = monotonic ? { slept: 0, lead } : suspendsOfProcess(lead);
    this.#slept = this.#suspends.slept;
  }

  now(): number {
    const suspends = this.#suspends;
    const monotonic = this.#monotonic();
    const lead = this.wall() - monotonic;
    if (lead - suspends.lead > ADJUSTMENT) suspends.slept += lead - suspends.lead;
    suspends.lead = lead;
    const now = monotonic + suspends.slept;
    // Found here, or by another copy of this package.
    if (suspends.slept !== this.#slept) {
      this.#slept = suspends.slept;
      this.timers.rearm(now);
    }
    return now;
  }
}
