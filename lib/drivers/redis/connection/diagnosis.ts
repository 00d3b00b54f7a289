import { SystemClock } from '../../../core/clock.js';
import type { ConnectionPlan } from './connection-options.js';
import type { LastError } from './last-error.js';

/** Milliseconds between two looks at a server that goes on failing. */
const EVERY = 10_000;

/** Asks a server what it is when the reason why it cannot be reached is vague: from time to time, and once at a time. */
export class Diagnosis {
  /** Milliseconds that a look takes at most. */
  readonly probeTime: number;
  readonly #plan: ConnectionPlan;
  readonly #lastError: LastError;
  readonly #clock = new SystemClock();
  #lookedAt = -Infinity;
  #looking: Promise<void> | undefined;

  constructor(plan: ConnectionPlan, lastError: LastError) {
    this.#plan = plan;
    this.#lastError = lastError;
    this.probeTime = Math.min(1000, plan.commandTimeout / 2);
  }

  look(): Promise<void> {
    this.#looking ??= this.#look().finally(() => (this.#looking = undefined));
    return this.#looking;
  }

  async #look(): Promise<void> {
    const now = this.#clock.now();
    if (!this.#lastError.isVague || now - this.#lookedAt < EVERY) return;
    this.#lookedAt = now;
    this.#lastError.diagnose(await this.#plan.sockets.probe(this.probeTime));
  }
}
