import type { Clock, Random } from '../../core/clock.js';

/** Milliseconds for which a key that others wait for is left to them after a release. They hear of it, and ask. */
const LEAVE = 6;
/** Milliseconds over which the waiters of one process are spread after a release. */
const SPREAD = 4;
/** Keys, and releases, that are remembered at most. The oldest is forgotten first. */
const REMEMBERED_KEYS = 1000;
const REMEMBERED_RELEASES = 256;

/**
 * Makes up for the missing queue, as far as that is possible without one:
 *
 * 1. An instance that releases a key leaves it to others for a moment. It need not hear of its own release, so it would
 *    be the first to ask again.
 * 2. A key counts as free when a quorum of servers announced the same release. A question before that is in vain.
 * 3. Waiters ask at random moments after a release. Otherwise the one nearest to the servers would win each time.
 *
 * Not covered:
 * - an order of arrival: a waiter can be passed by others any number of times.
 */
export class Fairness {
  readonly #quorum: number;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #wanted = new Set<string>();
  readonly #leftUntil = new Map<string, number>();
  /** The number of servers that announced the release of a holder. */
  readonly #announced = new Map<string, number>();

  constructor(quorum: number, clock: Clock, random: Random) {
    this.#quorum = quorum;
    this.#clock = clock;
    this.#random = random;
  }

  /** An instance began to wait for a key: this one or another. */
  wanted(key: string): void {
    this.#wanted.add(key);
    forgetOldest(this.#wanted, REMEMBERED_KEYS);
  }

  released(key: string): void {
    if (!this.#wanted.delete(key)) return;
    this.#leftUntil.set(key, this.#clock.now() + LEAVE);
    forgetOldest(this.#leftUntil, REMEMBERED_KEYS);
  }

  /** Milliseconds for which a key is still left to others. Zero when it is asked for again. */
  leaves(key: string): number {
    const until = this.#leftUntil.get(key);
    if (until === undefined) return 0;
    this.#leftUntil.delete(key);
    return Math.max(0, until - this.#clock.now());
  }

  /** A server announced the release of a holder. True once for each holder. */
  isFree(holder: string): boolean {
    const times = (this.#announced.get(holder) ?? 0) + 1;
    this.#announced.set(holder, times);
    forgetOldest(this.#announced, REMEMBERED_RELEASES);
    return times === this.#quorum;
  }

  /** Milliseconds until a waiter hears of a release. */
  spread(): number {
    return Math.floor(this.#random() * SPREAD);
  }
}

function forgetOldest(all: Set<string> | Map<string, unknown>, most: number): void {
  if (all.size > most) all.delete(all.keys().next().value!);
}
