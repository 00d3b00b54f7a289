import type { Clock } from '../../../core/clock.js';
import { heartbeat } from '../../../core/lock-driver.js';
import type { KeepAlives } from '../client/keep-alives.js';
import type { Watches } from '../client/watches.js';
import { type QueuedClaim, timeoutOf } from './queued-claim.js';
import type { Outcome, Queues } from './queues.js';
import { toRecord } from './records.js';

export interface WaitersListener {
  /** Nobody is in front any more: the place is held. */
  granted(place: QueuedClaim): void;
  /** The place, or its lease, is gone. */
  lost(place: QueuedClaim): void;
  /** The core has not asked for it for three heartbeats. */
  abandoned(place: QueuedClaim): void;
}

/**
 * Places that wait. Each watches the key in front of it, so that a release wakes one instance, and its own, which is
 * deleted when the holder gives it the lock. Both are watched from the revision on in which they were seen, so that no
 * deletion is missed; it is a hint, upon which the store is asked. A place whose core has stopped asking for it is given
 * up, not taken.
 */
export class Waiters {
  readonly #lines: Queues;
  readonly #keepAlives: KeepAlives;
  readonly #watches: Watches;
  readonly #clock: Clock;
  readonly #listener: WaitersListener;

  constructor(lines: Queues, keepAlives: KeepAlives, watches: Watches, clock: Clock, listener: WaitersListener) {
    this.#lines = lines;
    this.#keepAlives = keepAlives;
    this.#watches = watches;
    this.#clock = clock;
    this.#listener = listener;
  }

  /** What the store said of a place; nothing, when it was given up in the meantime. */
  take(place: QueuedClaim, outcome: Outcome): void {
    if (place.status === 'over') return;
    if ('owner' in outcome) place.record = toRecord(outcome.owner, outcome.count);
    if (outcome.status === 'held') {
      place.stopWatching();
      place.status = 'held';
      place.token = outcome.token;
      place.waiters = outcome.waiters;
    } else if (outcome.status === 'waiting') {
      place.status = 'waiting';
      if (outcome.inFront === undefined) void this.#wake(place);
      else this.#watch(place, outcome.inFront, outcome.revision);
    } else {
      place.stopWatching();
      place.status = outcome.status;
    }
  }

  /** A heartbeat of the core: keeps the lease alive in good time and looks where the place stands. */
  async askAgain(place: QueuedClaim): Promise<void> {
    const { lease, claim } = place;
    const sentAt = this.#clock.now();
    if (sentAt - lease.refreshedAt > lease.ttl / 3) {
      const answer = await this.#keepAlives.send(lease.id, timeoutOf(claim.ttl));
      if (!lease.keptAlive(sentAt, answer)) return this.take(place, { status: 'lost' });
    }
    await this.#look(place);
  }

  async #wake(place: QueuedClaim): Promise<void> {
    if (this.#clock.now() - place.askedAt > 3 * heartbeat(place.claim.ttl)) return this.#listener.abandoned(place);
    try {
      await this.#look(place);
    } catch {
      // The core asks again with its next heartbeat.
      return;
    }
    if (place.status === 'held') this.#listener.granted(place);
    if (place.status === 'lost') this.#listener.lost(place);
  }

  #look(place: QueuedClaim): Promise<void> {
    place.looking ??= this.#lines
      .look(place, timeoutOf(place.claim.ttl))
      .then((outcome) => this.take(place, outcome))
      .finally(() => (place.looking = undefined));
    return place.looking;
  }

  #watch(place: QueuedClaim, key: string, seen: number): void {
    if (place.inFront === key) return;
    place.stopWatching();
    const wake = (): void => {
      // A look that began earlier may still find the key: it has to watch it again then.
      place.stopWatching();
      if (place.status === 'waiting') void this.#wake(place);
    };
    const ends = [key, place.ownKey].map((watched) =>
      this.#watches.watch(
        { key: watched, startRevision: seen + 1, filters: ['NOPUT'] },
        { changed: wake, missed: wake },
      ),
    );
    place.inFront = key;
    place.unwatch = () => {
      for (const end of ends) end();
    };
  }
}
