import type { TokenBlock } from '../core/lock-driver.js';

/** The fencing tokens that the store reserved for one lease, in order. */
export class ReservedTokens {
  #next = 0;
  #last = -1;

  /** Another block, in the place of what is left. */
  add({ fencingToken, tokens }: TokenBlock): void {
    this.#next = fencingToken;
    this.#last = fencingToken + tokens - 1;
  }

  /** The next one, or undefined when they are used up. */
  take(): number | undefined {
    return this.#next <= this.#last ? this.#next++ : undefined;
  }
}
