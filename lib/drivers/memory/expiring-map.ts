import type { Clock } from '../../core/clock.js';

/** A map whose entries end by themselves. Those that have ended are dropped when it is listed, or gets a new one. */
export class ExpiringMap<V> {
  readonly #clock: Clock;
  readonly #entries = new Map<string, { readonly value: V; readonly until: number }>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get(id: string): V | undefined {
    const entry = this.#entries.get(id);
    return entry && entry.until > this.#clock.now() ? entry.value : undefined;
  }

  set(id: string, value: V, ttl: number): void {
    if (!this.#entries.has(id)) this.#prune();
    this.#entries.set(id, { value, until: this.#clock.now() + ttl });
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
  }
}
