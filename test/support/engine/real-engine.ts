import { SystemClock } from '../../../lib/core/clock.js';
import type { LockEvent } from '../../../lib/core/events.js';
import type { DriverEvent, LockDriver } from '../../../lib/core/lock-driver.js';
import { LockManager } from '../../../lib/locks/lock-manager.js';

/** One instance's engine on the real clock, over a real store. */
export class RealEngine {
  readonly events: LockEvent[] = [];
  readonly warnings: string[] = [];
  readonly manager: LockManager;
  readonly #watchers = new Set<() => void>();
  #store: DriverEvent['type'][] = [];

  constructor(
    readonly driver: LockDriver,
    instance = 'a',
  ) {
    this.manager = new LockManager({
      driver,
      instance,
      clock: new SystemClock(),
      random: Math.random,
      emit: (event) => {
        this.events.push(event);
        this.#changed();
      },
      onStore: (event) => {
        if (event.type === 'warning') this.warnings.push(event.message);
        else this.#store.push(event.type);
        this.#changed();
      },
    });
  }

  /** Resolves with the first event of this type, past or future. */
  event(type: LockEvent['type']): Promise<LockEvent> {
    return this.#when(() => this.events.find((event) => event.type === type));
  }

  /** Resolves when the store was last reported to be so. */
  store(type: 'up' | 'down'): Promise<true> {
    return this.#when(() => this.#store.at(-1) === type || undefined);
  }

  /** Resolves with the first warning that matches, past or future. */
  warning(pattern: RegExp): Promise<string> {
    return this.#when(() => this.warnings.find((warning) => pattern.test(warning)));
  }

  #when<T>(find: () => T | undefined): Promise<T> {
    return new Promise((resolve) => {
      const look = (): void => {
        const found = find();
        if (found === undefined) return;
        this.#watchers.delete(look);
        resolve(found);
      };
      this.#watchers.add(look);
      look();
    });
  }

  #changed(): void {
    for (const look of this.#watchers) look();
  }
}
