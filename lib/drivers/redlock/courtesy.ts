/** How long a key that others wait for is left to them after a release, in milliseconds: they are told, and ask. */
const LEAVE = 6;
/** Keys that are kept in mind at most. */
const REMEMBERED = 1000;

/**
 * Without a queue whoever releases a key would be first to ask for it again, as it need not be told. So it waits a
 * little where others wait too.
 */
export class Courtesy {
  readonly #wanted = new Set<string>();
  readonly #leftUntil = new Map<string, number>();

  /** Somebody began to wait for a key, ours or not. */
  wanted(key: string): void {
    this.#wanted.add(key);
    if (this.#wanted.size > REMEMBERED) this.#wanted.delete(this.#wanted.keys().next().value!);
  }

  released(key: string): void {
    if (!this.#wanted.delete(key)) return;
    this.#leftUntil.set(key, performance.now() + LEAVE);
    if (this.#leftUntil.size > REMEMBERED) this.#leftUntil.delete(this.#leftUntil.keys().next().value!);
  }

  /** Milliseconds for which a key is left to others. */
  leaves(key: string): number {
    const until = this.#leftUntil.get(key);
    if (until === undefined) return 0;
    this.#leftUntil.delete(key);
    return Math.max(0, until - performance.now());
  }
}
