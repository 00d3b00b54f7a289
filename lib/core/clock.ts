import { detached } from './call-chain.js';
import { LONGEST_DURATION } from './duration.js';

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

export class SystemClock implements Clock {
  readonly #monotonic: () => number;
  readonly #wall: () => number;
  #slept = 0;
  #lead: number;

  constructor(monotonic: () => number = () => performance.now(), wall: () => number = Date.now) {
    this.#monotonic = monotonic;
    this.#wall = wall;
    this.#lead = wall() - monotonic();
  }

  now(): number {
    const monotonic = this.#monotonic();
    const lead = this.#wall() - monotonic;
    if (lead - this.#lead > ADJUSTMENT) this.#slept += lead - this.#lead;
    this.#lead = lead;
    return monotonic + this.#slept;
  }

  wall(): number {
    return this.#wall();
  }

  after(milliseconds: number, task: () => void, keepAlive = false): Timer {
    const delay = Math.min(Math.max(1, Math.ceil(milliseconds)), LONGEST_DURATION);
    const timeout = detached(() => setTimeout(task, delay));
    if (!keepAlive) timeout.unref();
    return { cancel: () => clearTimeout(timeout) };
  }
}
