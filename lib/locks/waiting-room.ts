import type { Clock, Timer } from '../core/clock.js';
import { type Linked, LinkedList } from '../core/linked-list.js';
import { type DriverEvent, NO_METADATA } from '../core/lock-driver.js';
import type { Hold, Lease } from './lease.js';

/** What one request reserves at most, so that tokens stay in step with the clock. */
const MOST_TOKENS = 64;

type Pushed = Extract<DriverEvent, { type: 'granted' }>;

/** What a caller asks for, as far as it decides whether a lease can be passed on to it. */
export interface Wish {
  readonly key: string;
  readonly ttl: number;
  readonly validFor?: number | undefined;
  readonly metadata?: Readonly<Record<string, string>> | undefined;
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

  /** What the instance has of the key. */
  occupant(storeKey: string): Lease | undefined {
    return this.#lines.get(storeKey)?.occupant;
  }

  /** The caller that comes next. */
  first(storeKey: string): Seat | undefined {
    return this.#lines.get(storeKey)?.first;
  }

  /** Fencing tokens that callers of a key could use: whoever asks, and those who wait here. */
  tokensFor(storeKey: string): number {
    let callers = 0;
    for (let seat = this.first(storeKey); seat && callers < MOST_TOKENS; seat = seat.after) callers++;
    return Math.max(1, callers);
  }

  /** The key may be free, or was granted to a claim of the first in its line. */
  nudge(storeKey: string, pushed?: Pushed): void {
    this.first(storeKey)?.nudge(pushed);
  }

  /** Somebody waits in the store for what this instance has, or is just about to get. */
  contended(storeKey: string): void {
    const line = this.#lines.get(storeKey);
    if (line?.occupant) line.occupant.waiters ||= 1;
    else if (line?.first) line.first.contended = true;
  }

  /** All but those whose places are kept: the next heartbeat tells whether they have to ask. */
  nudgeAll(): void {
    for (const { first } of this.#lines.values()) if (first && !first.keepsPlace) first.nudge();
  }

  #lineOf(storeKey: string): Line {
    let line = this.#lines.get(storeKey);
    if (!line) this.#lines.set(storeKey, (line = new Line(storeKey)));
    return line;
  }

  #moved(line: Line): void {
    if (line.occupant) return;
    if (line.first) line.first.call();
    else if (this.#lines.get(line.storeKey) === line) this.#lines.delete(line.storeKey);
  }
}

class Line {
  readonly storeKey: string;
  readonly seats = new LinkedList<Seat>();
  occupant: Lease | undefined;

  constructor(storeKey: string) {
    this.storeKey = storeKey;
  }

  get first(): Seat | undefined {
    return this.seats.first;
  }
}

/** One waiting caller. */
export class Seat implements Linked<Seat> {
  readonly wish: Wish;
  readonly line: Line;
  before: Seat | undefined;
  after: Seat | undefined;
  /** Somebody began to wait for the lease while it was on its way to this caller. */
  contended = false;
  /** Somebody else sees to it that the caller is woken when it has to ask. */
  keepsPlace = false;
  readonly #clock: Clock;
  readonly #room: WaitingRoom;
  #called = false;
  #handed: Hold | undefined;
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

  /** A lease that was passed on within the instance. */
  get handed(): Hold | undefined {
    return this.#handed;
  }

  get isTurn(): boolean {
    return this.#called || this.#handed !== undefined;
  }

  /** Whether what the store keeps of the lease is what this caller asked for, and has not asked the store for yet. */
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
    this.#handed = hold;
    this.#onTurn?.();
    this.leave();
  }

  /** From here on a nudge counts, also one that arrives before `rest`. */
  listen(): void {
    this.#nudged = false;
    this.contended = false;
  }

  /** The grant that the store sent to this holder by itself, once. */
  takePushed(holder: string): Pushed | undefined {
    const pushed = this.#pushed;
    this.#pushed = undefined;
    return pushed?.holder === holder ? pushed : undefined;
  }

  /** Waits, but not past a nudge. Without a time: `ask` of a kept place is one. */
  async rest(milliseconds?: number): Promise<void> {
    if (this.#nudged) return;
    this.keepsPlace = milliseconds === undefined;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      if (milliseconds !== undefined) this.#timer = this.#clock.after(milliseconds, resolve);
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
