import { Alarm } from '../core/alarm.js';
import { backoff } from '../core/backoff.js';
import type { Clock, Random } from '../core/clock.js';
import type { Milliseconds } from '../core/duration.js';
import { type Linked, LinkedList } from '../core/linked-list.js';
import { type Claim, heartbeat, type LockDriver, type LockRecord, type PlaceOutcome } from '../core/lock-driver.js';

/** Places that one request to the store keeps at most. */
const CHUNK = 250;
/** The first pause between two looks at a lease that seems to end each time. */
const SHORTEST: Milliseconds = 10;

/**
 * The time at which a waiter looks at the store again: when the lease in front ends, and at the latest after the usual
 * time. The end that the store reports is a hint and may be nonsense, so looks that find the lease still there come ever
 * later, until the usual time is reached.
 */
export class NextLook {
  #early = 0;

  /**
   * Time from now.
   *
   * @param remaining of the lease in front; a number that is no time counts as unknown
   */
  after(remaining: Milliseconds | undefined, usual: Milliseconds): Milliseconds {
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

export interface PlaceListener {
  /** The claim still waits behind this lease: called for each heartbeat that is answered. */
  behind(record: LockRecord | null): void;
  /** A heartbeat was not answered; another one follows. */
  failed(cause: unknown): void;
  /** The claim may have been granted, can be granted, or has lost its place: an acquire shows which. */
  ask(): void;
}

/** The place of one claim in a queue of the store. */
export class Place implements Linked<Place> {
  before: Place | undefined;
  after: Place | undefined;
  readonly claim: Claim;
  readonly listener: PlaceListener;
  /** The anchor of a pushed grant: when the latest request that the store answered with "queued" was sent. */
  queuedAt: number;
  /** The lease that was in front then: a pushed grant is newer. */
  record: LockRecord | null;
  /** When the next heartbeat is due, or, while one is under way, when its answer counts as lost. */
  due!: number;
  /** How much earlier than due it may be sent together with others. */
  slack!: number;
  failures = 0;
  /** When the heartbeat that is under way was sent. */
  sentAt: number | undefined;
  readonly #nextLook = new NextLook();

  constructor(claim: Claim, queuedAt: number, now: number, record: LockRecord | null, listener: PlaceListener) {
    this.claim = claim;
    this.queuedAt = queuedAt;
    this.record = record;
    this.listener = listener;
    this.#plan(now, record?.remaining);
  }

  /** Takes an answer into account, unless a later one overtook it. */
  queued(sentAt: number, now: number, { remaining, record }: Exclude<PlaceOutcome, 'ask'>): void {
    if (sentAt <= this.queuedAt) return;
    this.queuedAt = sentAt;
    this.sentAt = undefined;
    this.failures = 0;
    this.#plan(now, remaining);
    if (record) this.record = record;
    else if (this.record) this.record = { ...this.record, remaining };
    this.listener.behind(this.record);
  }

  #plan(now: number, remaining: Milliseconds | undefined): void {
    const usual = heartbeat(this.claim.ttl);
    const next = this.#nextLook.after(remaining, usual);
    this.due = next < usual ? now + next : this.queuedAt + usual;
    this.slack = next < usual ? 0 : usual / 4;
  }
}

/**
 * Keeps the places of all claims of one instance that wait in the queue of the store, with one timer and as few
 * requests as possible, and wakes a claim when it has to ask. While the store does not answer, no claim asks: only the
 * heartbeats are tried again.
 */
export class Heartbeats {
  readonly #driver: LockDriver;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #places = new LinkedList<Place>();
  readonly #alarm: Alarm;

  constructor(driver: LockDriver, clock: Clock, random: Random) {
    this.#driver = driver;
    this.#clock = clock;
    this.#random = random;
    this.#alarm = new Alarm(clock, () => this.#tick());
  }

  /** Does the driver keep places? Otherwise each claim asks again and again by itself. */
  get areBatched(): boolean {
    return this.#driver.keepPlaces !== undefined;
  }

  keep(place: Place): void {
    this.#places.append(place);
    this.#alarm.setFor(place.due);
  }

  /** Does nothing for a place that is not kept. */
  leave(place: Place): void {
    this.#places.remove(place);
  }

  /** The store may have lost its queues: looks at every place now. */
  verify(): void {
    const now = this.#clock.now();
    for (const place of this.#places.items()) {
      place.sentAt = undefined;
      place.due = now;
    }
    if (this.#places.first) this.#alarm.setFor(now);
  }

  #tick(): void {
    const now = this.#clock.now();
    const groups = new Map<number, Place[]>();
    let next = Infinity;
    // 1. Collect those that are due, by the part of the store that they wait in.
    for (const place of this.#places.items()) {
      if (place.due - place.slack <= now) {
        if (place.sentAt === undefined) this.#join(groups, place, now);
        else this.#failed(place, now, new Error('The store did not answer a heartbeat in time.'));
      }
      next = Math.min(next, place.due);
    }
    if (next < Infinity) this.#alarm.setFor(next);
    // 2. Send one request for each part, or a few where there are many.
    for (const group of groups.values()) {
      for (let from = 0; from < group.length; from += CHUNK) void this.#send(group.slice(from, from + CHUNK), now);
    }
  }

  #join(groups: Map<number, Place[]>, place: Place, now: number): void {
    place.sentAt = now;
    place.due = now + heartbeat(place.claim.ttl);
    place.slack = 0;
    const group = this.#driver.renewalGroup?.(place.claim.key) ?? 0;
    const members = groups.get(group);
    if (members) members.push(place);
    else groups.set(group, [place]);
  }

  async #send(places: readonly Place[], sentAt: number): Promise<void> {
    try {
      const outcomes = await this.#driver.keepPlaces!(
        places.map(({ claim, record }) => ({ ...claim, behind: record?.fencingToken ?? 0 })),
      );
      const now = this.#clock.now();
      places.forEach((place, index) => {
        if (!this.#places.has(place)) return;
        const outcome = outcomes[index]!;
        if (outcome === 'ask') {
          this.leave(place);
          place.listener.ask();
        } else {
          place.queued(sentAt, now, outcome);
          this.#alarm.setFor(place.due);
        }
      });
    } catch (error) {
      const now = this.#clock.now();
      for (const place of places)
        if (this.#places.has(place) && place.sentAt === sentAt) this.#failed(place, now, error);
    }
  }

  /** The slack lets those that fail together be tried again together. */
  #failed(place: Place, now: number, cause: unknown): void {
    const delay = backoff(place.failures++, Math.min(100, heartbeat(place.claim.ttl) / 2), 1000, this.#random);
    place.sentAt = undefined;
    place.due = now + delay;
    place.slack = delay / 2;
    this.#alarm.setFor(place.due);
    place.listener.failed(cause);
  }
}
