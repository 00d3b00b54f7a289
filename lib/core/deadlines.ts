import type { Clock, Timer } from './clock.js';
import { type Linked, LinkedList } from './linked-list.js';

export interface Timed<Item> extends Linked<Item> {
  /** In the time of the clock; it must not change while the item is waited for. */
  readonly deadline: number;
}

/** Things that are over at a time of their own, with one timer for all: most have gone before it fires. */
export class Deadlines<Item extends Timed<Item>> {
  readonly #clock: Clock;
  readonly #expire: (item: Item) => void;
  readonly #waiting = new LinkedList<Item>();
  #timer: Timer | undefined;
  #timerAt = Infinity;

  /** @param expire called once for each item that is still there at its deadline, and is removed with it */
  constructor(clock: Clock, expire: (item: Item) => void) {
    this.#clock = clock;
    this.#expire = expire;
  }

  add(item: Item, now: number): void {
    this.#waiting.append(item);
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
    for (const item of this.#waiting.items()) {
      if (item.deadline > now || !this.#waiting.has(item)) continue;
      this.#waiting.remove(item);
      this.#expire(item);
    }
    let next = Infinity;
    for (const { deadline } of this.#waiting.items()) next = Math.min(next, deadline);
    this.#arm(next, now);
  }
}
