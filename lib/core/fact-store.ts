import type { Milliseconds } from './duration.js';

/**
 * The port for small facts that instances share: the members of an election, the instant up to which a job was claimed.
 * Each fact has a TTL. A scope is a name in the store that includes the namespace.
 *
 * Not covered: exclusion. Only `advance` is atomic.
 */
export interface FactStore {
  /** Writes or refreshes a fact. The fact disappears `ttl` after the last `put`. */
  put(scope: string, id: string, value: string, ttl: Milliseconds): Promise<void>;
  /** Removes a fact, if it is there. */
  remove(scope: string, id: string): Promise<void>;
  /** The facts of a scope that have not run out, by id. */
  list(scope: string): Promise<ReadonlyMap<string, string>>;
  /**
   * Calls `changed` after a fact of the scope was removed or got another value. Also calls it when a change may have
   * been missed: once the driver listens to the store, and after a lost connection. A call is a hint: a message may be
   * lost, and a fact that runs out is not announced.
   *
   * @returns a function that ends the watch
   */
  watch(scope: string, changed: () => void): () => void;
  /**
   * Moves the number of `id` forward to `to`, atomically. The number is forgotten `ttl` after the last move.
   *
   * @returns `mine` when the number was smaller, or `by` itself moved it to exactly `to` before; `taken` when another
   *   moved it there, or it is larger
   */
  advance(scope: string, id: string, to: number, by: string, ttl: Milliseconds): Promise<'mine' | 'taken'>;
}
