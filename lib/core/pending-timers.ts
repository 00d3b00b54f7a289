import { detached } from './call-chain.js';
import type { Timer } from './clock.js';
import { LONGEST_DURATION } from './duration.js';
import { type Linked, LinkedList } from './linked-list.js';

/** Milliseconds between two looks at the clock, while a timer is pending. */
const LOOK_EVERY = 1000;

/**
 * Timers that know when they are due by our clock. The system's timers do not count the time that a suspended machine
 * slept: while any is pending somebody looks at the clock, and after a suspend all are set again.
 */
export class PendingTimers {
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

  /** What is due by now fires at once, though never inside of this call. */
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
