/**
 * One listener of this package for each signal. From eleven listeners on Node warns of a leak, and many calls that share
 * the signal of a request, or of the process, are no leak.
 */
const shared = new WeakMap<AbortSignal, SharedListener>();

/** Calls `listener` when the signal aborts, at once where it has. Returns a function that stops listening. */
export function onAbort(signal: AbortSignal, listener: () => void): () => void {
  if (signal.aborted) {
    listener();
    return () => undefined;
  }
  let common = shared.get(signal);
  if (!common) shared.set(signal, (common = new SharedListener(signal)));
  return common.add(listener);
}

class SharedListener {
  readonly #signal: AbortSignal;
  readonly #listeners = new Map<symbol, () => void>();
  readonly #onAbort = (): void => {
    for (const listener of this.#listeners.values()) listener();
  };

  constructor(signal: AbortSignal) {
    this.#signal = signal;
  }

  add(listener: () => void): () => void {
    if (this.#listeners.size === 0) this.#signal.addEventListener('abort', this.#onAbort, { once: true });
    const id = Symbol('listener');
    this.#listeners.set(id, listener);
    return () => {
      if (this.#listeners.delete(id) && this.#listeners.size === 0) {
        this.#signal.removeEventListener('abort', this.#onAbort);
      }
    };
  }
}
