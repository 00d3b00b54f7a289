/** The watchers of a fact store, by scope or by the channel of the scope. */
export class Watchers {
  readonly #watchers = new Map<string, Set<Watcher>>();

  /** Each call adds a watcher of its own, also with the same function. */
  add(name: string, changed: () => void): Watcher {
    const watchers = this.#watchers.get(name) ?? new Set();
    const watcher: Watcher = {
      changed,
      hasEnded: false,
      end: () => {
        watcher.hasEnded = true;
        if (!watchers.delete(watcher) || watchers.size > 0) return false;
        this.#watchers.delete(name);
        return true;
      },
    };
    this.#watchers.set(name, watchers.add(watcher));
    return watcher;
  }

  notify(name: string): void {
    for (const { changed } of this.#watchers.get(name) ?? []) changed();
  }

  notifyAll(): void {
    for (const name of this.#watchers.keys()) this.notify(name);
  }
}

export interface Watcher {
  readonly changed: () => void;
  hasEnded: boolean;
  /** True when nobody watches the name any more. A second call has no effect and returns false. */
  end(): boolean;
}
