import type { Clock } from './clock.js';

/**
 * A map whose entries end by themselves. Those that have ended are dropped when it is listed, or has twice as many as
 * were left the time before, so that each new one costs the same however many there are.
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

  set(id: string, value: V, ttl: number): void {
    if (this.#entries.size >= this.#most) this.#prune();
    this.#entries.set(id, { value, until: this.#clock.now() + ttl });
  }

  /** With those that have ended and were not dropped yet. */
  get size(): number {
    return this.#entries.size;
  }

  /** Whether it was there. */
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
