import { detached } from './detached.js';
import { LONGEST_DURATION, type Milliseconds } from './duration.js';
import { type Linked, LinkedList } from './linked-list.js';
import { type Suspends, suspendsOfProcess } from './suspends.js';

/**
 * Time for one process. `now()` never goes back, and counts the time that a suspended machine slept. Readings of two
 * processes must never be compared.
 *
 * Not covered: a suspend shorter than a second and a paused virtual machine, which the wall clock does not show. Fencing
 * tokens cover those.
 */
export interface Clock {
  /** In milliseconds, from a start of its own. */
  now(): number;
  /** Milliseconds since 1970, for people and for other machines; never part of a deadline. */
  wall(): number;
  /** Runs `task` once, outside of every call chain. `keepAlive`: until then the process does not end by itself. */
  after(delay: Milliseconds, task: () => void, keepAlive?: boolean): Timer;
}

/** A task that waits for its time. */
export interface Timer {
  /** Ends the wait. Without effect once the task has run. */
  cancel(): void;
}

/** Random numbers in [0, 1), injected so that a simulation can replay them. */
export type Random = () => number;

export const systemRandom: Random = () => Math.random();

/**
 * Milliseconds that only go on with the time: no suspend counts, so nobody who sets the wall clock can move them. For a
 * wait that must never end early, where `Clock.now()` is for a belief that must never end late.
 */
export const monotonicNow = (): number => performance.now();

/** The largest lead of the wall clock over the monotonic one that still counts as an adjustment, not as a suspend. */
const ADJUSTMENT: Milliseconds = 1000;

/** Time between two looks at the clock, while a timer is pending. */
const LOOK_EVERY: Milliseconds = 1000;

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

  after(delay: Milliseconds, task: () => void, keepAlive = false): Timer {
    const now = this.#time.now();
    return this.#time.timers.add(now, now + delay, task, keepAlive);
  }
}

let processTime: Time | undefined;

class Time {
  readonly wall: () => number;
  readonly timers = new PendingTimers(() => void this.now());
  readonly #monotonic: () => number;
  readonly #suspends: Suspends;
  /** The sleep that the timers know of. */
  #slept: Milliseconds;

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

/**
 * Timers that know when they are due by our clock. The system's timers do not count the time that a suspended machine
 * slept. So the clock is read every second while any is pending, and after a suspend all are set again.
 */
class PendingTimers {
  readonly #look: () => void;
  readonly #pending = new LinkedList<PendingTimer>();
  #isLooking = false;

  /** @param look reads the clock, which calls `rearm` when it finds a suspend */
  constructor(look: () => void) {
    this.#look = look;
  }

  add(now: number, due: number, task: () => void, keepAlive: boolean): Timer {
    const timer = new PendingTimer(due, task, keepAlive, this.#pending);
    timer.arm(now);
    this.#lookLater();
    return timer;
  }

  /** Timers that are due by now fire at once, though never inside of this call. */
  rearm(now: number): void {
    for (const timer of this.#pending.items()) timer.arm(now);
  }

  #lookLater(): void {
    if (this.#isLooking) return;
    this.#isLooking = true;
    const look = (): void => {
      this.#isLooking = false;
      this.#look();
      if (this.#pending.first) this.#lookLater();
    };
    detached(() => setTimeout(look, LOOK_EVERY)).unref();
  }
}

class PendingTimer implements Timer, Linked<PendingTimer> {
  before: PendingTimer | undefined;
  after: PendingTimer | undefined;
  readonly #due: number;
  readonly #task: () => void;
  readonly #keepAlive: boolean;
  readonly #pending: LinkedList<PendingTimer>;
  #timeout: NodeJS.Timeout | undefined;

  constructor(due: number, task: () => void, keepAlive: boolean, pending: LinkedList<PendingTimer>) {
    this.#due = due;
    this.#task = task;
    this.#keepAlive = keepAlive;
    this.#pending = pending;
    pending.append(this);
  }

  arm(now: number): void {
    clearTimeout(this.#timeout);
    const delay = Math.min(Math.max(1, Math.ceil(this.#due - now)), LONGEST_DURATION);
    this.#timeout = detached(() => setTimeout(() => this.#fire(), delay));
    if (!this.#keepAlive) this.#timeout.unref();
  }

  cancel(): void {
    clearTimeout(this.#timeout);
    this.#pending.remove(this);
  }

  #fire(): void {
    this.#pending.remove(this);
    this.#task();
  }
}
