import type { LockEvent } from '../../../lib/core/events.js';
import type { LockDriver } from '../../../lib/core/lock-driver.js';
import { MemoryDriver } from '../../../lib/drivers/memory/memory.driver.js';
import { LockManager, type LockManagerOptions } from '../../../lib/locks/lock-manager.js';
import type { AcquireRequest, LeaseRequest } from '../../../lib/locks/lock-request.js';
import { ManualClock } from '../../../lib/testing/manual-clock.js';
import { FaultyDriver } from './faulty-driver.js';

/** One instance's engine on a manual clock, over a memory store whose answers a test can delay or lose. */
export class Engine {
  readonly events: LockEvent[] = [];
  readonly driver: FaultyDriver;
  readonly manager: LockManager;
  /** Called with each event; it may throw. */
  onEvent: (event: LockEvent) => void = () => undefined;
  /** What an operator was told. */
  readonly warnings: string[] = [];

  constructor(
    readonly clock = new ManualClock(),
    readonly store: LockDriver = new MemoryDriver({ clock }),
    instance = 'a',
    options: Partial<LockManagerOptions> = {},
  ) {
    this.driver = new FaultyDriver(store, clock);
    this.manager = new LockManager({
      driver: this.driver,
      instance,
      clock,
      random: () => 0.5,
      emit: (event) => {
        this.events.push(event);
        this.onEvent(event);
      },
      onStore: (event) => event.type === 'warning' && this.warnings.push(event.message),
      ...options,
    });
  }

  /** Another instance on the same store and clock. */
  peer(instance = 'b'): Engine {
    return new Engine(this.clock, this.store, instance);
  }

  eventTypes(): string[] {
    return this.events.map(({ type }) => type);
  }
}

export function request(change: Partial<AcquireRequest> = {}): AcquireRequest {
  const limit: LeaseRequest['limit'] = { wait: 10_000 };
  return { key: 'k', storeKey: 'test:l:k', ttl: 3000, limit, ...change };
}

/** What a promise has come to by now. */
export function outcome<T>(promise: Promise<T>): { value?: T; error?: unknown; settled: boolean } {
  const state: { value?: T; error?: unknown; settled: boolean } = { settled: false };
  promise.then(
    (value) => Object.assign(state, { value, settled: true }),
    (error: unknown) => Object.assign(state, { error, settled: true }),
  );
  return state;
}
