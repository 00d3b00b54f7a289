import { backoff } from '../../../core/backoff.js';
import type { Clock, Random } from '../../../core/clock.js';
import { pause } from '../../../core/pause.js';

export interface ReachabilityListener {
  up(): void;
  down(cause: Error): void;
}

/** Reports when the cluster begins and when it stops to answer. Asks it again and again while it does not answer. */
export class Reachability {
  readonly #check: () => Promise<boolean>;
  readonly #listener: ReachabilityListener;
  readonly #clock: Clock;
  readonly #random: Random;
  /** Calls that failed since the last success. */
  #failures = 0;
  #isUp = false;
  #isProbing = false;
  #closed = false;

  /** @param check resolves with true, after a call of `succeeded`, when a member answers that knows a leader */
  constructor(check: () => Promise<boolean>, listener: ReachabilityListener, clock: Clock, random: Random) {
    this.#check = check;
    this.#listener = listener;
    this.#clock = clock;
    this.#random = random;
  }

  succeeded(): void {
    this.#failures = 0;
    if (this.#isUp || this.#closed) return;
    this.#isUp = true;
    this.#listener.up();
  }

  /** A call failed. After one failure for each member the cluster is asked: perhaps only the time was too short. */
  failed(cause: Error, members: number): void {
    if (++this.#failures >= members) void this.probe(cause);
  }

  async probe(cause: Error): Promise<void> {
    if (this.#isProbing || this.#closed) return;
    this.#isProbing = true;
    for (let attempt = 0; !this.#closed && !(await this.#check()); attempt++) {
      if (this.#isUp && !this.#closed) {
        this.#isUp = false;
        this.#listener.down(cause);
      }
      await pause(this.#clock, backoff(attempt, 50, 1000, this.#random));
    }
    this.#isProbing = false;
  }

  close(): void {
    this.#closed = true;
  }
}
