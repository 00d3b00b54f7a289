import type { Clock, Timer } from '../core/clock.js';
import type { Milliseconds } from '../core/duration.js';
import { type Linked, LinkedList } from '../core/linked-list.js';
import { type DriverEvent, NO_METADATA } from '../core/lock-driver.js';
import type { Hold, Lease } from './lease.js';
import type { Wish } from './lock-request.js';

/** The most tokens that one request reserves, so that tokens stay in step with the clock. */
const MOST_TOKENS = 64;

type Pushed = Extract<DriverEvent, { type: 'granted' }>;

/** The seats of one key. */
interface Line {
  readonly storeKey: string;
  readonly seats: LinkedList<Seat>;
  /** The lease that the instance has of the key. */
  occupant: Lease | undefined;
}

/**
 * The callers of this instance that wait for a key, first come, first served. Only the first in a line asks the store,
 * and none does while the instance itself has the key: the store sees one waiter per instance and key, however many
 * callers there are, and a lease can be passed on within the instance.
 */
export class WaitingRoom {
  readonly #clock: Clock;
  readonly #lines = new Map<string, Line>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  enter(storeKey: string, wish: Wish): Seat {
    const line = this.#lineOf(storeKey);
    const seat = new Seat(this.#clock, wish, this, line);
    line.seats.append(seat);
    this.#moved(line);
    return seat;
  }

  leave(seat: Seat): void {
    seat.line.seats.remove(seat);
    this.#moved(seat.line);
  }

  /** The instance has the key: nobody here asks the store for it. */
  occupy(lease: Lease): void {
    this.#lineOf(lease.claim.key).occupant = lease;
  }

  vacate(lease: Lease): void {
    const line = this.#lines.get(lease.claim.key);
    if (line?.occupant !== lease) return;
    line.occupant = undefined;
    this.#moved(line);
  }

  /** The lease that the instance has of the key. */
  occupant(storeKey: string): Lease | undefined {
    return this.#lines.get(storeKey)?.occupant;
  }

  /** The caller that comes next. */
  first(storeKey: string): Seat | undefined {
    return this.#lines.get(storeKey)?.seats.first;
  }

  /** The number of fencing tokens that callers of a key can use: the one who asks, and those who wait here. */
  tokensFor(storeKey: string): number {
    let callers = 0;
    for (let seat = this.first(storeKey); seat && callers < MOST_TOKENS; seat = seat.after) callers++;
    return Math.max(1, callers);
  }

  /** The key may be free, or was granted to a claim of the first in its line. */
  nudge(storeKey: string, pushed?: Pushed): void {
    this.first(storeKey)?.nudge(pushed);
  }

  /** Somebody waits in the store for a lease that this instance has, or is just about to get. */
  contended(storeKey: string): void {
    const line = this.#lines.get(storeKey);
    if (line?.occupant) line.occupant.waiters ||= 1;
    else if (line?.seats.first) line.seats.first.contended = true;
  }

  /** Nudges all but those whose places are kept: their next heartbeat shows whether they have to ask. */
  nudgeAll(): void {
    for (const { seats } of this.#lines.values()) if (seats.first && !seats.first.keepsPlace) seats.first.nudge();
  }

  #lineOf(storeKey: string): Line {
    let line = this.#lines.get(storeKey);
    if (!line) this.#lines.set(storeKey, (line = { storeKey, seats: new LinkedList<Seat>(), occupant: undefined }));
    return line;
  }

  #moved(line: Line): void {
    if (line.occupant) return;
    if (line.seats.first) line.seats.first.call();
    else if (this.#lines.get(line.storeKey) === line) this.#lines.delete(line.storeKey);
  }
}

/** One waiting caller. */
export class Seat implements Linked<Seat> {
  readonly wish: Wish;
  readonly line: Line;
  before: Seat | undefined;
  after: Seat | undefined;
  /** The use of a lease that was passed on within the instance. */
  handed: Hold | undefined;
  /** Somebody began to wait for the lease while it was on its way to this caller. */
  contended = false;
  /** The heartbeats wake the caller when it has to ask. */
  keepsPlace = false;
  readonly #clock: Clock;
  readonly #room: WaitingRoom;
  #called = false;
  #left = false;
  #onTurn: (() => void) | undefined;
  #nudged = false;
  #pushed: Pushed | undefined;
  #wake: (() => void) | undefined;
  #timer: Timer | undefined;

  constructor(clock: Clock, wish: Wish, room: WaitingRoom, line: Line) {
    this.#clock = clock;
    this.wish = wish;
    this.#room = room;
    this.line = line;
  }

  get isTurn(): boolean {
    return this.#called || this.handed !== undefined;
  }

  /** True where the store keeps the lease as this caller wants it, and this caller has not asked the store so far. */
  fits({ claim, validFor }: Lease): boolean {
    if (this.#called) return false;
    const { ttl, metadata = NO_METADATA } = this.wish;
    return ttl === claim.ttl && metadata === claim.metadata && (this.wish.validFor ?? Infinity) === validFor;
  }

  /** Resolves when the caller may ask the store, or was handed a lease. */
  turn(): Promise<void> {
    return this.isTurn ? Promise.resolve() : new Promise((resolve) => (this.#onTurn = resolve));
  }

  call(): void {
    this.#called = true;
    this.#onTurn?.();
  }

  hand(hold: Hold): void {
    this.handed = hold;
    this.#onTurn?.();
    this.leave();
  }

  /** From here on a nudge counts, also one that arrives before `rest`. */
  listen(): void {
    this.#nudged = false;
    this.contended = false;
  }

  /** The grant that the store pushed to this holder, once. */
  takePushed(holder: string): Pushed | undefined {
    const pushed = this.#pushed;
    this.#pushed = undefined;
    return pushed?.holder === holder ? pushed : undefined;
  }

  /** Waits, but not past a nudge. Without a time for a kept place, whose `ask` is a nudge. */
  async rest(limit?: Milliseconds): Promise<void> {
    if (this.#nudged) return;
    this.keepsPlace = limit === undefined;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      if (limit !== undefined) this.#timer = this.#clock.after(limit, resolve);
    });
    this.keepsPlace = false;
    this.#timer?.cancel();
  }

  nudge(pushed?: Pushed): void {
    this.#pushed = pushed ?? this.#pushed;
    this.#nudged = true;
    this.#wake?.();
  }

  leave(): void {
    this.#timer?.cancel();
    if (this.#left) return;
    this.#left = true;
    this.#room.leave(this);
  }
}
