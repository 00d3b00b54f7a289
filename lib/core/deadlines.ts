import type { Clock, Timer } from './clock.js';
import { Heap, type Timed } from './heap.js';

/** Things that are over at a time of their own, with one timer for all: most have gone before it fires. */
export class Deadlines<Item extends Timed> {
  readonly #clock: Clock;
  readonly #expire: (item: Item) => void;
  readonly #waiting = new Heap<Item>();
  #timer: Timer | undefined;
  #timerAt = Infinity;

  /** @param expire called once for each item that is still there at its deadline, and is removed with it */
  constructor(clock: Clock, expire: (item: Item) => void) {
    this.#clock = clock;
    this.#expire = expire;
  }

  add(item: Item, now: number): void {
    this.#waiting.add(item);
    this.#arm(item.deadline, now);
  }

  /** Does nothing for an item that is not there. */
  remove(item: Item): void {
    this.#waiting.remove(item);
  }

  items(): Item[] {
    return this.#waiting.items();
  }

  /** A timer that is early enough is left as it is. */
  #arm(at: number, now: number): void {
    if (at >= this.#timerAt) return;
    this.#timer?.cancel();
    this.#timerAt = at;
    this.#timer = this.#clock.after(at - now, () => this.#tick());
  }

  #tick(): void {
    this.#timerAt = Infinity;
    const now = this.#clock.now();
    for (let { first } = this.#waiting; first && first.deadline <= now; { first } = this.#waiting) {
      this.#waiting.remove(first);
      this.#expire(first);
    }
    this.#arm(this.#waiting.first?.deadline ?? Infinity, now);
  }
}
