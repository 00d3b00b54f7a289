/** Milliseconds between two looks at a lease that seems to end each time, at first. */
const SHORTEST = 10;

/**
 * When one who waits looks at the store again: when the lease in front ends, and at the latest after the usual time.
 * What the store says of that end is a hint and may be nonsense. Looks that find the lease still there come ever later,
 * until the usual time is reached.
 */
export class NextLook {
  #early = 0;

  /**
   * Milliseconds from now.
   *
   * @param remaining of the lease in front; anything that is no time counts as unknown
   */
  after(remaining: number | undefined, usual: number): number {
    const end = remaining !== undefined && remaining >= 0 ? remaining + 1 : Infinity;
    const next = Math.max(end, SHORTEST * 2 ** this.#early);
    if (next >= usual) {
      this.#early = 0;
      return usual;
    }
    this.#early++;
    return next;
  }
}
