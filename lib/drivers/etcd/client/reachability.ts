import { backoff } from '../../../core/backoff.js';

export interface ReachabilityListener {
  up(): void;
  down(cause: Error): void;
}

/** Whether the cluster answers: said when it begins to and when it ceases to. While it does not it is asked again. */
export class Reachability {
  readonly #check: () => Promise<boolean>;
  readonly #listener: ReachabilityListener;
  /** Calls that failed since one succeeded. */
  #failures = 0;
  #isUp = false;
  #isProbing = false;
  #closed = false;

  /** @param check whether a member answers that knows a leader; calls `succeeded` then */
  constructor(check: () => Promise<boolean>, listener: ReachabilityListener) {
    this.#check = check;
    this.#listener = listener;
  }

  succeeded(): void {
    this.#failures = 0;
    if (this.#isUp || this.#closed) return;
    this.#isUp = true;
    this.#listener.up();
  }

  /** As many calls as there are members have failed: is nobody there, or was only the time too short? */
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
      const delay = backoff(attempt, 50, 1000, Math.random);
      await new Promise((resolve) => setTimeout(resolve, delay).unref());
    }
    this.#isProbing = false;
  }

  close(): void {
    this.#closed = true;
  }
}
