/**
 * Small facts that instances tell each other, each with a TTL: who is a member of an election, up to which instant a
 * job has been claimed. A scope is a whole store name, namespace included (see store-key.ts). Nothing here excludes
 * anybody, except `advance`.
 */
export interface FactStore {
  /** Writes or refreshes a fact; it disappears `ttl` milliseconds after the last `put`. */
  put(scope: string, id: string, value: string, ttl: number): Promise<void>;
  remove(scope: string, id: string): Promise<void>;
  /** The facts of a scope that have not run out, by id. */
  list(scope: string): Promise<ReadonlyMap<string, string>>;
  /**
   * Calls `changed` after a fact of the scope was written with another value, or removed, and whenever that may have
   * been missed: once the store is listened to, after a lost connection. A hint, like every push: a fact that runs out
   * by itself is not announced, and a message may be lost. Returns what ends it.
   */
  watch(scope: string, changed: () => void): () => void;
  /**
   * Moves the number of `id` forward to `to`, atomically. `mine`: it was smaller, or `by` itself moved it to exactly
   * `to` before. `taken`: somebody else did, or it is beyond. Forgotten `ttl` milliseconds after the last move.
   */
  advance(scope: string, id: string, to: number, by: string, ttl: number): Promise<'mine' | 'taken'>;
}
