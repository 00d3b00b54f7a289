export interface Linked<Item> {
  before: Item | undefined;
  after: Item | undefined;
}

/**
 * A list for items that come and go with every call. A Set leaves tables behind when it grows and shrinks, which keep
 * its former items alive until the next full garbage collection. An item is in one list at a time.
 */
export class LinkedList<Item extends Linked<Item>> {
  first: Item | undefined;
  #last: Item | undefined;

  has(item: Item): boolean {
    return item.before !== undefined || this.first === item;
  }

  append(item: Item): void {
    item.before = this.#last;
    if (this.#last) this.#last.after = item;
    else this.first = item;
    this.#last = item;
  }

  /** Does nothing for an item that is not in the list. */
  remove(item: Item): void {
    if (!this.has(item)) return;
    const { before, after } = item;
    if (before) before.after = after;
    else this.first = after;
    if (after) after.before = before;
    else this.#last = before;
    item.before = item.after = undefined;
  }

  /** As it is now: the list may change while the caller goes through it. */
  items(): Item[] {
    const items: Item[] = [];
    for (let item = this.first; item; item = item.after) items.push(item);
    return items;
  }
}
