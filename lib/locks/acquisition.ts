import { backoff } from '../core/backoff.js';
import type { Clock, Random } from '../core/clock.js';
import type { Milliseconds } from '../core/duration.js';
import { DriverUnavailableError, LockConfigError } from '../core/errors.js';
import type { LockEventSink } from '../core/events.js';
import { newHolder } from '../core/ids.js';
import {
  type Claim,
  type Granted,
  heartbeat,
  type LockDriver,
  type LockRecord,
  NO_METADATA,
} from '../core/lock-driver.js';
import { type HoldFacts, LockNotAcquiredError } from '../core/lock-errors.js';
import { pause } from '../core/pause.js';
import { electionOf, subjectOf } from '../core/store-key.js';
import type { CallSites } from './call-site.js';
import { DriverAnswerError } from './driver-answers.js';
import { type Heartbeats, NextLook, Place } from './heartbeats.js';
import type { HeldLeases } from './held-leases.js';
import { Hold, Lease } from './lease.js';
import type { LeaseRequest } from './lock-request.js';
import { believable } from './pushed-grant.js';
import type { RequestGate } from './request-gate.js';
import { BLIP, type StoreConnection } from './store-connection.js';
import { WAIT_IS_OVER, type WaitLimit } from './wait-limit.js';
import type { Seat, WaitingRoom } from './waiting-room.js';

/** The parts that all acquisitions of one instance share. */
export interface AcquisitionContext {
  readonly driver: LockDriver;
  readonly clock: Clock;
  readonly random: Random;
  readonly instance: string;
  readonly room: WaitingRoom;
  readonly heldLeases: HeldLeases;
  readonly heartbeats: Heartbeats;
  readonly gate: RequestGate;
  readonly emit: LockEventSink;
  readonly store: StoreConnection;
  readonly callSites: CallSites;
}

/**
 * One caller's way to a lease.
 *
 * 1. A request whose outcome is unknown is repeated with the same holder. The store answers with the same grant.
 * 2. A claim that the caller gives up while its outcome is open is cancelled.
 * 3. A grant that used up most of its TTL on the way is confirmed before it is delivered.
 * 4. A grant that arrives expired is given back.
 */
export class Acquisition {
  readonly #context: AcquisitionContext;
  readonly #request: LeaseRequest;
  readonly #waitLimit: WaitLimit;
  readonly #startedAt: number;
  #claim: Claim;
  /** The outcome of an earlier request is unknown: it may have been executed, or still reach the store. */
  #stray = false;
  /** The claim is, or may be, granted or queued in the store. */
  #open = false;
  /** The anchor of a pushed grant: when the last request that the store answered with "queued" was sent. */
  #queuedAt: number | undefined;
  #refusals = 0;
  #failures = 0;
  #failure: unknown;
  #record: LockRecord | null = null;
  #recordAt = 0;
  #isRepeated = false;
  #isContended = false;
  #seat: Seat | undefined;
  /** While it is kept. */
  #place: Place | undefined;
  readonly #nextLook = new NextLook();

  constructor(context: AcquisitionContext, request: LeaseRequest, waitLimit: WaitLimit, now: number) {
    this.#context = context;
    this.#request = request;
    this.#waitLimit = waitLimit;
    this.#startedAt = now;
    this.#claim = this.#newClaim();
  }

  /** The use of a lease, or undefined when others held the key all the time: `refusal()` then names them. */
  async run(): Promise<Hold | undefined> {
    const { limit, storeKey } = this.#request;
    try {
      // 1. The first caller of an instance connects to the store.
      const starting = this.#context.store.starting();
      if (starting) await this.#waitLimit.race(starting);
      // 2. Get in the line of the key. The caller in front may hand its lease over, without the store.
      if ('wait' in limit) {
        this.#seat = this.#context.room.enter(storeKey, this.#request);
        if (!this.#seat.isTurn) await this.#waitInLine(this.#seat);
        if (this.#seat.handed) return this.#delivered(this.#seat.handed);
      }
      for (let attempt = 1; ; attempt++) {
        this.#waitLimit.throwIfOver();
        this.#seat?.listen();
        // 3. Ask the store.
        const lease = await this.#ask();
        if (lease) return this.#firstHold(lease);
        // 4. Give up, or wait: for a push, a heartbeat that says "ask", or the time of the next attempt.
        const isLast = 'attempts' in limit && attempt >= limit.attempts;
        if (this.#isHopeless(isLast)) throw WAIT_IS_OVER;
        await this.#waitLimit.wait(isLast ? this.#context.store.upWithin(BLIP) : this.#pause());
        this.#leavePlace();
        // 5. A grant that the store pushed meanwhile saves the next request.
        const pushed = this.#takePushed();
        if (pushed) return this.#firstHold(pushed);
      }
    } catch (error) {
      // 6. Nothing of a claim that is given up stays behind, in the store or in the line.
      if (this.#open || this.#stray) this.#context.heldLeases.cancel(this.#claim);
      if (this.#seat?.handed) void this.#context.heldLeases.share(this.#seat.handed).release();
      if (error !== WAIT_IS_OVER) throw error;
      if (this.#failure !== undefined || (this.#open && this.#refusals === 0)) throw this.#unavailable();
      return undefined;
    } finally {
      this.#leavePlace();
      this.#seat?.leave();
    }
  }

  /** The error for a caller that others kept waiting for all its time. */
  refusal(): LockNotAcquiredError {
    const { room, instance, callSites } = this.#context;
    const { key, storeKey } = this.#request;
    const own = room.occupant(storeKey)?.hold;
    if (own) {
      // Perhaps this very call chain has it: the next error is to name the place where it was acquired.
      if (!own.isGuarded) callSites.noteAll();
      return new LockNotAcquiredError(key, this.#waited, instance, own.facts());
    }
    const facts = { subject: subjectOf(storeKey, key), ...this.#recordFacts() };
    return new LockNotAcquiredError(key, this.#waited, this.#record?.instance, facts);
  }

  #recordFacts(): HoldFacts {
    if (!this.#record) return {};
    const { since, remaining } = this.#record;
    const left = remaining - (this.#context.clock.now() - this.#recordAt);
    return { since, remaining: left > 0 ? left : undefined };
  }

  get #waited(): Milliseconds {
    return this.#context.clock.now() - this.#startedAt;
  }

  #newClaim(): Claim {
    const { storeKey, ttl, metadata = NO_METADATA } = this.#request;
    return { key: storeKey, holder: newHolder(), ttl, instance: this.#context.instance, metadata };
  }

  #waitInLine(seat: Seat): Promise<void> {
    this.#contended(this.#context.instance);
    return this.#waitLimit.wait(seat.turn());
  }

  /** One request to the store, and a second one that confirms a slow grant. */
  async #ask(): Promise<Lease | undefined> {
    const { clock, driver, room, gate } = this.#context;
    for (let confirming = false; ;) {
      if (!gate.enter()) await this.#turn();
      const anchor = clock.now();
      this.#open = true;
      try {
        const tokens = room.tokensFor(this.#claim.key);
        const asking = driver.acquire(this.#claim, this.#seat ? 'queue' : 'try', tokens);
        const answer = await this.#waitLimit.race(asking, gate.leave);
        this.#failure = undefined;
        this.#failures = 0;
        if (answer.status !== 'granted') {
          this.#open = answer.status === 'queued';
          this.#queuedAt = this.#open ? anchor : undefined;
          this.#refused(answer.record);
          return undefined;
        }
        const lease = this.#lease(answer, anchor);
        if (isFresh(lease, answer.ttl)) return lease;
        if (confirming || lease.remaining === 0) return this.#cameTooLate();
        confirming = true;
      } catch (error) {
        this.#waitLimit.throwIfOver();
        this.#open = this.#queuedAt !== undefined;
        this.#stray ||= confirming || !notExecuted(error);
        if (error instanceof LockConfigError) throw error;
        this.#failure = error;
        this.#failures++;
        this.#request.onFailed?.(error);
        return undefined;
      }
    }
  }

  /** A caller that gives up here sends no request. A claim that the store knows comes first, or its place there is lost. */
  async #turn(): Promise<void> {
    const { driver, gate } = this.#context;
    try {
      await gate.turn(this.#waitLimit, this.#open);
    } catch (error) {
      if (error === WAIT_IS_OVER && this.#refusals === 0) {
        this.#failure ??= new DriverUnavailableError(
          `${gate.limit} requests of this instance to ${driver.name} are under way, and ${gate.standing + 1} wait for ` +
            'their turn. Ask for fewer locks at once, or give `wait` more time.',
          { sent: this.#stray },
        );
      }
      throw error;
    }
  }

  /** A grant that was (almost) over before it arrived: give it back, and ask as somebody new, but not at once. */
  #cameTooLate(): undefined {
    const { driver, heldLeases } = this.#context;
    this.#failure = new Error(`${driver.name} takes too long to answer for a TTL of ${this.#claim.ttl} ms.`);
    this.#failures++;
    heldLeases.cancel(this.#claim);
    this.#claim = this.#newClaim();
    this.#open = false;
    this.#stray = false;
    this.#queuedAt = undefined;
  }

  /**
   * A grant that the store pushed. Its token must be above that of the lease in front at the last "queued": an earlier
   * grant to this claim, whose message comes late, has run out by now. A grant that needs confirmation is left to the
   * next request.
   */
  #takePushed(): Lease | undefined {
    const pushed = this.#seat?.takePushed(this.#claim.holder);
    if (!pushed || this.#queuedAt === undefined || !this.#record) return undefined;
    const granted = believable(pushed, this.#claim, this.#record.fencingToken);
    const lease = granted && this.#lease(granted, this.#queuedAt);
    return lease && isFresh(lease, granted.ttl) ? lease : undefined;
  }

  #lease(granted: Granted, anchor: number): Lease {
    const { fencingToken, tokens, ttl } = granted;
    const waiters = this.#seat?.contended ? Math.max(1, granted.waiters) : granted.waiters;
    const { validFor, renewEvery } = this.#request;
    const { clock } = this.#context;
    return new Lease(
      clock,
      { claim: this.#claim, stray: this.#stray, fencingToken, tokens, ttl, waiters, anchor, validFor, renewEvery },
      clock.now(),
    );
  }

  #firstHold(lease: Lease): Hold {
    this.#context.heldLeases.begin(lease);
    return this.#delivered(new Hold(this.#request.key, lease, lease.tokens.take()!, lease.since));
  }

  #delivered(hold: Hold): Hold {
    const { key, fencingToken, election, acquiredAt } = hold;
    this.#context.emit({ type: 'acquired', key, fencingToken, election, waited: acquiredAt - this.#startedAt });
    return hold;
  }

  #refused(record: LockRecord | null): void {
    this.#record = record;
    this.#recordAt = this.#context.clock.now();
    this.#request.onRefused?.(record);
    this.#contended(record?.instance);
    this.#refusals++;
  }

  #contended(heldBy: string | undefined): void {
    if (this.#isContended) return;
    this.#isContended = true;
    const { key, storeKey } = this.#request;
    this.#context.emit({ type: 'contended', key, election: electionOf(storeKey), heldBy });
  }

  /** Gives up after this try? A single one that was not sent is repeated: the connection may just have broken. */
  #isHopeless(isLast: boolean): boolean {
    const failure = this.#failure;
    if (failure === undefined) return isLast;
    const { store, clock } = this.#context;
    const { limit, unavailable } = this.#request;
    const { downSince = Infinity } = store;
    const downBefore = this.#startedAt - downSince;
    const downFor = clock.now() - downSince;
    if (unavailable === 'reject' && (downBefore >= 0 || downFor >= BLIP)) return true;
    if ('wait' in limit && downBefore > limit.wait) return true;
    if (!isLast) return false;
    if (this.#isRepeated || downFor > BLIP || !(failure instanceof DriverUnavailableError) || failure.sent) return true;
    this.#isRepeated = true;
    return false;
  }

  #pause(): Promise<void> {
    if (this.#seat && this.#queuedAt !== undefined && this.#failure === undefined) {
      if (this.#context.heartbeats.areBatched) return this.#keepPlace(this.#seat, this.#queuedAt);
    }
    const milliseconds = this.#delay();
    if (this.#seat) return this.#seat.rest(milliseconds);
    return pause(this.#context.clock, milliseconds);
  }

  /** Resolves when the store passes the lease on to this claim, or a heartbeat says that it has to ask. */
  #keepPlace(seat: Seat, queuedAt: number): Promise<void> {
    const { clock, heartbeats } = this.#context;
    this.#place = new Place(this.#claim, queuedAt, clock.now(), this.#record, {
      behind: (record) => {
        this.#failure = undefined;
        this.#request.onRefused?.(record);
      },
      failed: (cause) => {
        this.#failure = cause;
        this.#request.onFailed?.(cause);
        if (this.#isHopeless(false)) seat.nudge();
      },
      ask: () => seat.nudge(),
    });
    heartbeats.keep(this.#place);
    return seat.rest();
  }

  #leavePlace(): void {
    if (!this.#place) return;
    this.#context.heartbeats.leave(this.#place);
    this.#queuedAt = this.#place.queuedAt;
    this.#record = this.#place.record;
    this.#recordAt = this.#place.queuedAt;
    this.#place = undefined;
  }

  #delay(): Milliseconds {
    const { random, driver } = this.#context;
    const { limit, pollEvery } = this.#request;
    if ('attempts' in limit) return limit.retryDelay * (0.75 + random() / 2);
    if (this.#failure !== undefined) return backoff(this.#failures - 1, 50, 1000, random);
    const queued = this.#queuedAt === undefined ? Infinity : heartbeat(this.#claim.ttl) * (0.75 + random() / 2);
    const poll =
      pollEvery !== undefined || driver.capabilities.push
        ? (pollEvery ?? 500) * (0.75 + random() / 2)
        : backoff(this.#refusals, 10, 100, random);
    // A dead holder is followed when its lease has run out. Where the store knows no order of waiters, a spread keeps
    // them from asking all at once.
    const spread = driver.capabilities.queue ? 0 : random() * 10;
    return this.#nextLook.after(this.#record?.remaining, Math.min(queued, poll)) + spread;
  }

  #unavailable(): DriverUnavailableError {
    const { driver, store, clock } = this.#context;
    const { key, storeKey } = this.#request;
    const cause = this.#failure;
    const down = store.downSince;
    const since = down === undefined ? '' : ` The store has been unreachable for ${Math.round(clock.now() - down)} ms.`;
    const failed = cause instanceof DriverUnavailableError ? 'could not be acquired' : `${driver.name} did not answer`;
    const why = cause instanceof Error ? ` ${cause.message}` : '';
    return new DriverUnavailableError(
      `${subjectOf(storeKey, key)}: ${failed} within ${Math.round(this.#waited)} ms.${since}${why}`,
      { sent: this.#open || this.#stray, cause },
    );
  }
}

function notExecuted(error: unknown): boolean {
  if (error instanceof DriverAnswerError) return false;
  return error instanceof LockConfigError || (error instanceof DriverUnavailableError && !error.sent);
}

/** Is enough of a grant left for it to be delivered without another look at the store? */
function isFresh(lease: Lease, ttl: Milliseconds): boolean {
  return lease.remainingAt(lease.since) > Math.min(ttl, lease.validFor) / 4;
}
