import type { Clock } from '../../../core/clock.js';
import { heartbeat } from '../../../core/lock-driver.js';
import type { KeepAlives } from '../client/keep-alives.js';
import type { Watches } from '../client/watches.js';
import { type QueuedClaim, timeoutOf } from './queued-claim.js';
import type { Outcome, Queues } from './queues.js';
import { toRecord } from './records.js';

export interface WaitersListener {
  /** Nobody is in front any more: the claim holds the lock. */
  granted(queued: QueuedClaim): void;
  /** The claim, or its lease, is gone. */
  lost(queued: QueuedClaim): void;
  /** The claim is gone, or a look failed, and nothing is watched any more: the core has to ask. */
  mustAsk(queued: QueuedClaim): void;
  /** The core has not asked for the claim for three heartbeats. */
  abandoned(queued: QueuedClaim): void;
}

/**
 * Claims that wait:
 *
 * 1. Each watches the key in front of it, so that a release wakes one instance.
 * 2. Each watches its own key, too. It is deleted when a holder gives the lock to this claim.
 * 3. Both are watched from the revision on in which they were seen, so that no deletion is missed.
 * 4. A deletion is a hint (S10): the store is asked.
 * 5. A look that fails is left to the core, which asks at once, and with a backoff where that fails, too.
 * 6. A claim whose core has stopped asking is given up. It does not take the lock.
 */
export class Waiters {
  readonly #queues: Queues;
  readonly #keepAlives: KeepAlives;
  readonly #watches: Watches;
  readonly #clock: Clock;
  readonly #listener: WaitersListener;

  constructor(queues: Queues, keepAlives: KeepAlives, watches: Watches, clock: Clock, listener: WaitersListener) {
    this.#queues = queues;
    this.#keepAlives = keepAlives;
    this.#watches = watches;
    this.#clock = clock;
    this.#listener = listener;
  }

  /** Applies an answer of the store to a claim, unless the claim was given up meanwhile. */
  take(queued: QueuedClaim, outcome: Outcome): void {
    if (queued.status === 'over') return;
    if ('owner' in outcome) queued.record = toRecord(outcome.owner, outcome.count);
    if (outcome.status === 'held') {
      queued.stopWatching();
      queued.status = 'held';
      queued.token = outcome.token;
      queued.waiters = outcome.waiters;
    } else if (outcome.status === 'waiting') {
      queued.status = 'waiting';
      if (outcome.inFront === undefined) void this.#wake(queued);
      else this.#watch(queued, outcome.inFront, outcome.revision);
    } else {
      queued.stopWatching();
      queued.status = outcome.status;
    }
  }

  /** A heartbeat of the core: keeps the lease alive in good time, and looks into the queue. */
  async askAgain(queued: QueuedClaim): Promise<void> {
    const { lease, claim } = queued;
    const sentAt = this.#clock.now();
    if (sentAt - lease.refreshedAt > lease.ttl / 3) {
      const answer = await this.#keepAlives.send(lease.id, timeoutOf(claim.ttl));
      if (!lease.keptAlive(sentAt, answer)) return this.take(queued, { status: 'lost' });
    }
    await this.#look(queued);
  }

  async #wake(queued: QueuedClaim): Promise<void> {
    if (this.#clock.now() - queued.askedAt > 3 * heartbeat(queued.claim.ttl)) return this.#listener.abandoned(queued);
    try {
      await this.#look(queued);
    } catch {
      if (queued.status === 'waiting') this.#listener.mustAsk(queued);
      return;
    }
    if (queued.status === 'held') this.#listener.granted(queued);
    if (queued.status !== 'lost') return;
    this.#listener.lost(queued);
    this.#listener.mustAsk(queued);
  }

  #look(queued: QueuedClaim): Promise<void> {
    queued.looking ??= this.#queues
      .look(queued, timeoutOf(queued.claim.ttl))
      .then((outcome) => this.take(queued, outcome))
      .finally(() => (queued.looking = undefined));
    return queued.looking;
  }

  #watch(queued: QueuedClaim, key: string, seen: number): void {
    if (queued.inFront === key) return;
    queued.stopWatching();
    const wake = (): void => {
      // A look that began earlier may still find the key. Then it has to watch the key again.
      queued.stopWatching();
      if (queued.status === 'waiting') void this.#wake(queued);
    };
    const ends = [key, queued.ownKey].map((watched) =>
      this.#watches.watch(
        { key: watched, startRevision: seen + 1, filters: ['NOPUT'] },
        { changed: wake, missed: wake },
      ),
    );
    queued.inFront = key;
    queued.unwatch = () => {
      for (const end of ends) end();
    };
  }
}
