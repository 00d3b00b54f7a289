import type { DriverEvent, DriverListener } from '../../core/lock-driver.js';

/** The listeners of one driver. Each event goes to all of them, in the order in which they connected. */
export class Listeners {
  readonly #listeners = new Set<DriverListener>();

  get isEmpty(): boolean {
    return this.#listeners.size === 0;
  }

  add(listener: DriverListener): void {
    this.#listeners.add(listener);
  }

  remove(listener: DriverListener): void {
    this.#listeners.delete(listener);
  }

  notify(event: DriverEvent): void {
    for (const listener of this.#listeners) listener(event);
  }
}
