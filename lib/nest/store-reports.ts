import type { Clock } from '../core/clock.js';
import type { DriverEvent } from '../core/lock-driver.js';

/** The part of a Nest logger that is used here. */
export interface StoreLogger {
  log(message: string): void;
  warn(message: string): void;
  error(message: string): void;
}

export type StoreEvent = Extract<DriverEvent, { type: 'up' | 'down' | 'warning' }>;

/** Turns the events of a driver into log lines. An outage of the store is one line at its start and one at its end. */
export class StoreReports {
  readonly #logger: StoreLogger;
  readonly #clock: Clock;
  #isKnown = false;
  #downSince: number | undefined;

  constructor(logger: StoreLogger, clock: Clock) {
    this.#logger = logger;
    this.#clock = clock;
  }

  heard(event: StoreEvent): void {
    if (event.type === 'warning') this.#logger.warn(event.message);
    else if (event.type === 'down') this.#began(`The lock store is unreachable. ${event.cause.message}`);
    else this.#ended();
  }

  /** The first connection failed. The driver tries again by itself. */
  startFailed(error: Error): void {
    this.#began(`The lock store is unreachable; trying again until it answers. ${error.message}`);
  }

  #began(message: string): void {
    if (this.#downSince !== undefined) return;
    this.#downSince = this.#clock.now();
    this.#logger.error(message);
  }

  #ended(): void {
    const since = this.#downSince;
    this.#downSince = undefined;
    if (since !== undefined) {
      const seconds = ((this.#clock.now() - since) / 1000).toFixed(1);
      this.#logger.log(`The lock store is reachable again after ${seconds} s.`);
    } else if (!this.#isKnown) {
      this.#logger.log('The lock store is reachable.');
    }
    this.#isKnown = true;
  }
}
