import type { Clock } from './clock.js';
import type { Milliseconds } from './duration.js';

/**
 * A map whose entries end by themselves. Ended entries are dropped when it is listed, and when it has twice as many
 * entries as were left the time before. So the cost of a new entry does not depend on their number.
 */
export class ExpiringMap<V> {
  readonly #clock: Clock;
  readonly #entries = new Map<string, { readonly value: V; readonly until: number }>();
  #most = 2;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get(id: string): V | undefined {
    const entry = this.#entries.get(id);
    return entry && entry.until > this.#clock.now() ? entry.value : undefined;
  }

  set(id: string, value: V, ttl: Milliseconds): void {
    if (this.#entries.size >= this.#most) this.#prune();
    this.#entries.set(id, { value, until: this.#clock.now() + ttl });
  }

  /** With those that have ended and were not dropped so far. */
  get size(): number {
    return this.#entries.size;
  }

  /** True when it was there. */
  delete(id: string): boolean {
    const wasThere = this.get(id) !== undefined;
    this.#entries.delete(id);
    return wasThere;
  }

  live(): ReadonlyMap<string, V> {
    this.#prune();
    return new Map(Array.from(this.#entries, ([id, { value }]) => [id, value]));
  }

  #prune(): void {
    const now = this.#clock.now();
    for (const [id, { until }] of this.#entries) if (until <= now) this.#entries.delete(id);
    this.#most = Math.max(2, 2 * this.#entries.size);
  }
}
