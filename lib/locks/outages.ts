import { backoff } from '../core/backoff.js';
import type { Clock, Random, Timer } from '../core/clock.js';
import type { Milliseconds } from '../core/duration.js';

/** Parts of the store that are probed at a time: all of them, unless it is a cluster. */
const PROBES = 8;
/** Further parts that are probed at once when one answers. */
const FURTHER = 2;

export interface OutageUser<Item> {
  /** Those that are still worth sending. */
  wanted(items: Item[]): Item[];
  /** Sends one to see whether the store answers. */
  probe(item: Item): void;
  /** Sends those that had to wait: the store answers. */
  again(items: Item[]): void;
}

interface Outage<Item> {
  cause: unknown;
  items: Item[];
}

/**
 * Items that could not be sent because a part of the store does not answer. They are not repeated one by one: one of
 * them is sent as a probe, with backoff, and all of them once the part answers.
 */
export class Outages<Item> {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #user: OutageUser<Item>;
  /** By part, the one that was probed last at the end. */
  readonly #outages = new Map<number, Outage<Item>>();
  #attempt = 0;
  #base = Infinity;
  #timer: Timer | undefined;

  constructor(clock: Clock, random: Random, user: OutageUser<Item>) {
    this.#clock = clock;
    this.#random = random;
    this.#user = user;
  }

  isDown(part: number): boolean {
    return this.#outages.has(part);
  }

  causeOf(part: number): unknown {
    return this.#outages.get(part)?.cause;
  }

  /** @param base time before the first probe */
  add(part: number, item: Item, base: Milliseconds, cause: unknown): void {
    const outage = this.#outages.get(part);
    if (outage) {
      outage.cause = cause;
      outage.items.push(item);
    } else this.#outages.set(part, { cause, items: [item] });
    this.#base = Math.min(this.#base, base);
    this.#probeLater();
  }

  /** A probe failed, and its item is not to be sent any more: the others still wait. */
  failed(): void {
    if (this.#outages.size > 0) this.#probeLater();
  }

  /** To be called for every answer. */
  answered(part: number): void {
    const outage = this.#outages.get(part);
    if (!outage) return;
    this.#over(part);
    this.#user.again(this.#user.wanted(outage.items));
    this.#probeSome(FURTHER);
  }

  /** All parts may answer again. */
  end(): void {
    const items = [...this.#outages.values()].flatMap((outage) => outage.items);
    for (const part of this.#outages.keys()) this.#over(part);
    this.#user.again(this.#user.wanted(items));
  }

  #over(part: number): void {
    this.#outages.delete(part);
    this.#attempt = 0;
    this.#endIfOver();
  }

  #endIfOver(): void {
    if (this.#outages.size > 0) return;
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#attempt = 0;
    this.#base = Infinity;
  }

  #probeLater(): void {
    this.#timer ??= this.#clock.after(backoff(this.#attempt++, this.#base, 1000, this.#random), () => {
      this.#timer = undefined;
      this.#probeSome(PROBES);
    });
  }

  #probeSome(count: number): void {
    const parts = [];
    for (const entry of this.#outages) {
      if (parts.push(entry) === count) break;
    }
    for (const [part, outage] of parts) {
      this.#outages.delete(part);
      const items = (outage.items = this.#user.wanted(outage.items));
      if (items.length === 0) continue;
      this.#outages.set(part, outage);
      // Not always the same: it may be the item that cannot be sent.
      const chosen = Math.floor(this.#random() * items.length);
      const item = items[chosen]!;
      items[chosen] = items.at(-1)!;
      items.pop();
      this.#user.probe(item);
    }
    this.#endIfOver();
  }
}
