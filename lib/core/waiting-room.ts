import type { Clock, Timer } from './clock.js';

/**
 * The callers of this instance that wait for a key, first come, first served. Only the first in a line asks the store,
 * so that the store sees one waiter per instance and key, however many callers there are.
 */
export class WaitingRoom {
  readonly #clock: Clock;
  readonly #lines = new Map<string, Set<Seat>>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  enter(key: string): Seat {
    const line = this.#lines.get(key) ?? new Set<Seat>();
    this.#lines.set(key, line);
    const seat = new Seat(this.#clock, () => {
      line.delete(seat);
      if (line.size === 0) this.#lines.delete(key);
      else first(line).call();
    });
    line.add(seat);
    if (line.size === 1) seat.call();
    return seat;
  }

  /** The key may be free: wakes the first in its line. */
  nudge(key: string): void {
    const line = this.#lines.get(key);
    if (line) first(line).nudge();
  }

  nudgeAll(): void {
    for (const line of this.#lines.values()) first(line).nudge();
  }
}

function first(line: Set<Seat>): Seat {
  const [seat] = line;
  return seat!;
}

export class Seat {
  readonly #clock: Clock;
  readonly #leave: () => void;
  #called = false;
  #onCall: (() => void) | undefined;
  #nudged = false;
  #wake: (() => void) | undefined;
  #timer: Timer | undefined;

  constructor(clock: Clock, leave: () => void) {
    this.#clock = clock;
    this.#leave = leave;
  }

  /** Whether this seat is the first in its line. */
  get called(): boolean {
    return this.#called;
  }

  turn(): Promise<void> {
    return this.#called ? Promise.resolve() : new Promise((resolve) => (this.#onCall = resolve));
  }

  call(): void {
    this.#called = true;
    this.#onCall?.();
  }

  /** From here on a nudge counts, also one that arrives before `rest`. */
  listen(): void {
    this.#nudged = false;
  }

  /** Waits, but not past a nudge. */
  async rest(milliseconds: number): Promise<void> {
    if (this.#nudged) return;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      this.#timer = this.#clock.after(milliseconds, resolve);
    });
    this.#timer?.cancel();
  }

  nudge(): void {
    this.#nudged = true;
    this.#wake?.();
  }

  leave(): void {
    this.#timer?.cancel();
    this.#leave();
  }
}
