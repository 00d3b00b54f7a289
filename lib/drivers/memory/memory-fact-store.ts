import type { Clock } from '../../core/clock.js';
import { ExpiringMap } from '../../core/expiring-map.js';
import type { FactStore } from '../../core/fact-store.js';
import { Watchers } from '../common/watchers.js';

/** Up to where a number was moved, and by whom. */
interface Position {
  readonly at: number;
  readonly by: string;
}

/** The facts of the applications of one process that share a driver. Watchers are called before a `put` resolves. */
export class MemoryFactStore implements FactStore {
  readonly #clock: Clock;
  readonly #assertOpen: () => void;
  readonly #facts = new Map<string, ExpiringMap<string>>();
  readonly #positions = new Map<string, ExpiringMap<Position>>();
  readonly #watchers = new Watchers();

  /** @param assertOpen throws when the driver is closed */
  constructor(clock: Clock, assertOpen: () => void) {
    this.#clock = clock;
    this.#assertOpen = assertOpen;
  }

  async put(scope: string, id: string, value: string, ttl: number): Promise<void> {
    this.#assertOpen();
    const facts = this.#within(this.#facts, scope);
    const before = facts.get(id);
    facts.set(id, value, ttl);
    if (before !== value) this.#watchers.notify(scope);
  }

  async remove(scope: string, id: string): Promise<void> {
    this.#assertOpen();
    if (this.#within(this.#facts, scope).delete(id)) this.#watchers.notify(scope);
  }

  async list(scope: string): Promise<ReadonlyMap<string, string>> {
    this.#assertOpen();
    return this.#within(this.#facts, scope).live();
  }

  watch(scope: string, changed: () => void): () => void {
    const watcher = this.#watchers.add(scope, changed);
    return () => void watcher.end();
  }

  async advance(scope: string, id: string, to: number, by: string, ttl: number): Promise<'mine' | 'taken'> {
    this.#assertOpen();
    const positions = this.#within(this.#positions, scope);
    const position = positions.get(id);
    if (position && position.at >= to) return position.at === to && position.by === by ? 'mine' : 'taken';
    positions.set(id, { at: to, by }, ttl);
    return 'mine';
  }

  #within<V>(scopes: Map<string, ExpiringMap<V>>, scope: string): ExpiringMap<V> {
    let entries = scopes.get(scope);
    if (!entries) scopes.set(scope, (entries = new ExpiringMap(this.#clock)));
    return entries;
  }
}
