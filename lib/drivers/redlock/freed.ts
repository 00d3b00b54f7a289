/** Releases of which not all servers have told yet; more than that are not waited for at once. */
const REMEMBERED = 256;

/** Counts the servers that tell of a release, so that it is worth to ask again: a quorum of them must be free. */
export class FreedCount {
  readonly #quorum: number;
  readonly #told = new Map<string, number>();

  constructor(quorum: number) {
    this.#quorum = quorum;
  }

  /** True once for each release. */
  isFree(holder: string): boolean {
    const times = (this.#told.get(holder) ?? 0) + 1;
    this.#told.set(holder, times);
    if (this.#told.size > REMEMBERED) this.#told.delete(this.#told.keys().next().value!);
    return times === this.#quorum;
  }
}
