import type { Clock } from '../../core/clock.js';
import type { TokenBlock } from '../../core/lock-driver.js';

/** Fencing tokens that a grant reserves. A round trip takes more microseconds, so tokens stay behind the clock. */
export const TOKENS = 64;

/** Microseconds by which proposals may run ahead of the clock. Servers accept a second. */
const AHEAD = 500_000;

/**
 * The tokens that one driver proposes:
 *
 * 1. A proposal is the time in microseconds since 1970, so that servers can take it unchanged.
 * 2. It is above all proposals before it, as long as these are ahead of the clock by less than AHEAD.
 * 3. When they are further ahead, or the clock was put back, it is the time again. Servers then choose a larger token.
 */
export class Proposals {
  readonly #clock: Clock;
  #last = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  next(): TokenBlock {
    const now = this.#clock.wall() * 1000;
    const next = this.#last + TOKENS;
    this.#last = next > now && next < now + AHEAD ? next : now;
    return { fencingToken: this.#last, tokens: TOKENS };
  }
}
