import type { TokenBlock } from '../../core/lock-driver.js';

/** Fencing tokens that a grant reserves: fewer than microseconds in a round trip, so they stay behind the clock. */
export const TOKENS = 64;

/** Microseconds by which proposals may run ahead of the clock; servers allow for a second. */
const AHEAD = 500_000;

/**
 * The tokens that one driver proposes: microseconds since 1970, and above all that it proposed before, so that servers can
 * take them as they are. When there were so many that they ran ahead of the clock, servers find larger ones.
 */
export class Proposals {
  #last = 0;

  next(): TokenBlock {
    const now = Date.now() * 1000;
    const next = this.#last + TOKENS;
    this.#last = next > now && next < now + AHEAD ? next : now;
    return { fencingToken: this.#last, tokens: TOKENS };
  }
}
