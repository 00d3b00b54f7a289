import { Alarm } from './alarm.js';
import type { Clock } from './clock.js';
import { Heap, type Timed } from './heap.js';

/** Things that are over at a time of their own, with one timer for all. Most are removed before it fires. */
export class Deadlines<Item extends Timed> {
  readonly #clock: Clock;
  readonly #expire: (item: Item) => void;
  readonly #waiting = new Heap<Item>();
  readonly #alarm: Alarm;

  /** @param expire called once for each item that is still there at its deadline, and is removed with it */
  constructor(clock: Clock, expire: (item: Item) => void) {
    this.#clock = clock;
    this.#expire = expire;
    this.#alarm = new Alarm(clock, () => this.#tick());
  }

  add(item: Item, now: number): void {
    this.#waiting.add(item);
    this.#alarm.setFor(item.deadline, now);
  }

  /** Does nothing for an item that is not there. */
  remove(item: Item): void {
    this.#waiting.remove(item);
  }

  items(): Item[] {
    return this.#waiting.items();
  }

  #tick(): void {
    const now = this.#clock.now();
    for (let { first } = this.#waiting; first && first.deadline <= now; { first } = this.#waiting) {
      this.#waiting.remove(first);
      this.#expire(first);
    }
    this.#alarm.setFor(this.#waiting.first?.deadline ?? Infinity, now);
  }
}
