/** An item of a heap: in one heap at a time, and with a deadline that does not change while it is there. */
export interface Timed {
  /** In the time of the clock. */
  readonly deadline: number;
  /** Its index in the heap; undefined while it is in none. */
  place: number | undefined;
}

/** Items with a deadline each, the earliest first. Adding the latest deadline so far costs one comparison. */
export class Heap<Item extends Timed> {
  readonly #items: Item[] = [];

  get first(): Item | undefined {
    return this.#items[0];
  }

  /** In no order. */
  items(): Item[] {
    return [...this.#items];
  }

  add(item: Item): void {
    this.#items.push(item);
    this.#rise(item, this.#items.length - 1);
  }

  /** Does nothing for an item that is not there. */
  remove(item: Item): void {
    const { place } = item;
    if (place === undefined || this.#items[place] !== item) return;
    item.place = undefined;
    const last = this.#items.pop()!;
    if (last === item) return;
    this.#rise(last, place);
    this.#sink(last, last.place!);
  }

  #rise(item: Item, from: number): void {
    const items = this.#items;
    let place = from;
    while (place > 0) {
      const parent = (place - 1) >> 1;
      const above = items[parent]!;
      if (above.deadline <= item.deadline) break;
      this.#put(above, place);
      place = parent;
    }
    this.#put(item, place);
  }

  #sink(item: Item, from: number): void {
    const items = this.#items;
    let place = from;
    for (;;) {
      let child = 2 * place + 1;
      if (child >= items.length) break;
      if (child + 1 < items.length && items[child + 1]!.deadline < items[child]!.deadline) child++;
      const below = items[child]!;
      if (below.deadline >= item.deadline) break;
      this.#put(below, place);
      place = child;
    }
    this.#put(item, place);
  }

  #put(item: Item, place: number): void {
    this.#items[place] = item;
    item.place = place;
  }
}
