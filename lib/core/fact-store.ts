import type { Milliseconds } from './duration.js';

/**
 * The port for small facts that instances share, each with a TTL: the members of an election, the instant up to which a
 * job has been claimed. A scope includes the namespace (see store-key.ts). Nothing here excludes anybody, except
 * `advance`.
 */
export interface FactStore {
  /** Writes or refreshes a fact; it disappears `ttl` after the last `put`. */
  put(scope: string, id: string, value: string, ttl: Milliseconds): Promise<void>;
  remove(scope: string, id: string): Promise<void>;
  /** The facts of a scope that have not run out, by id. */
  list(scope: string): Promise<ReadonlyMap<string, string>>;
  /**
   * Calls `changed` after a fact of the scope was written with another value, or removed, and whenever that may have
   * been missed: once the driver listens to the store, and after a lost connection. A hint, like every push: a fact that
   * runs out by itself is not announced, and a message may be lost. Returns a function that ends the watch.
   */
  watch(scope: string, changed: () => void): () => void;
  /**
   * Moves the number of `id` forward to `to`, atomically. `mine`: it was smaller, or `by` itself moved it to exactly
   * `to` before. `taken`: somebody else did, or it is beyond. Forgotten `ttl` after the last move.
   */
  advance(scope: string, id: string, to: number, by: string, ttl: Milliseconds): Promise<'mine' | 'taken'>;
}
