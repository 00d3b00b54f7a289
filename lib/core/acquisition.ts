import { backoff, type Random } from './backoff.js';
import type { Clock } from './clock.js';
import { DriverUnavailableError, LockConfigError, LockNotAcquiredError } from './errors.js';
import type { LockEventSink } from './events.js';
import { newHolder } from './holder.js';
import type { Holdings } from './holdings.js';
import { Lease } from './lease.js';
import { type Claim, type Granted, heartbeat, type LockDriver, type LockRecord, NO_METADATA } from './lock-driver.js';
import { type Patience, timeUp } from './patience.js';
import type { RequestGate } from './request-gate.js';
import { Tenure } from './tenure.js';
import type { Seat, WaitingRoom } from './waiting-room.js';

export interface LeaseRequest {
  /** As the caller named it. */
  readonly key: string;
  /** As the store knows it. */
  readonly name: string;
  readonly ttl: number;
  readonly validFor?: number | undefined;
  readonly renewEvery?: number | undefined;
  readonly metadata?: Readonly<Record<string, string>> | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds to wait in line, or a number of tries that do not queue. */
  readonly limit: { readonly wait: number } | { readonly attempts: number; readonly retryDelay: number };
  /** Milliseconds between two looks at a held key; default: what suits the driver. */
  readonly pollEvery?: number | undefined;
  /** Told of every refusal. */
  readonly onRefused?: ((record: LockRecord | null) => void) | undefined;
}

/** What all acquisitions of one instance share. */
export interface AcquisitionContext {
  readonly driver: LockDriver;
  readonly clock: Clock;
  readonly random: Random;
  readonly instance: string;
  readonly room: WaitingRoom;
  readonly holdings: Holdings;
  readonly gate: RequestGate;
  readonly emit: LockEventSink;
  /** Settles when the first connection to the store has succeeded or failed; undefined from then on. */
  starting(): Promise<void> | undefined;
}

/**
 * One caller's way to a lease. A request whose outcome is unknown is repeated with the same holder, which the store
 * answers with the same grant; whatever the caller gives up while the outcome is open is cancelled. A grant that used
 * up most of its TTL on the way is confirmed before it is delivered, and one that arrives expired is given back.
 */
export class Acquisition {
  readonly #context: AcquisitionContext;
  readonly #request: LeaseRequest;
  readonly #patience: Patience;
  readonly #startedAt: number;
  #claim: Claim;
  /** The outcome of an earlier request is unknown: it may have been executed, or reach the store yet. */
  #stray = false;
  /** The claim is, or may be, granted or queued in the store. */
  #open = false;
  /** The anchor of a grant that the store sends by itself: when the last request that it answered "queued" was sent. */
  #queuedAt: number | undefined;
  #refusals = 0;
  #failures = 0;
  #failure: unknown;
  #record: LockRecord | null = null;
  #isContended = false;
  #seat: Seat | undefined;

  constructor(context: AcquisitionContext, request: LeaseRequest, patience: Patience, now: number) {
    this.#context = context;
    this.#request = request;
    this.#patience = patience;
    this.#startedAt = now;
    this.#claim = this.#newClaim();
  }

  /** The lease, or undefined when others held the key all the time; `refusal()` then tells who. */
  async run(): Promise<Lease | undefined> {
    const { limit, name } = this.#request;
    try {
      const starting = this.#context.starting();
      if (starting) await this.#patience.bound(starting);
      if ('wait' in limit) {
        this.#seat = this.#context.room.enter(name, this.#request);
        if (!this.#seat.isTurn) await this.#waitInLine(this.#seat);
        if (this.#seat.handed) return this.#delivered(this.#seat.handed);
      }
      for (let attempt = 1; ; attempt++) {
        this.#patience.check();
        this.#seat?.listen();
        const tenure = await this.#ask();
        if (tenure) return this.#firstLease(tenure);
        if ('attempts' in limit && attempt >= limit.attempts) throw timeUp;
        await this.#patience.bound(this.#pause());
        const pushed = this.#takePushed();
        if (pushed) return this.#firstLease(pushed);
      }
    } catch (error) {
      if (this.#open || this.#stray) this.#context.holdings.cancel(this.#claim);
      if (this.#seat?.handed) void this.#context.holdings.share(this.#seat.handed).release();
      if (error !== timeUp) throw error;
      if (this.#failure !== undefined || (this.#open && this.#refusals === 0)) throw this.#unavailable();
      return undefined;
    } finally {
      this.#seat?.leave();
    }
  }

  refusal(): LockNotAcquiredError {
    const { room, instance } = this.#context;
    const heldBy = room.isOccupied(this.#request.name) ? instance : this.#record?.instance;
    return new LockNotAcquiredError(this.#request.key, this.#waited, heldBy);
  }

  get #waited(): number {
    return this.#context.clock.now() - this.#startedAt;
  }

  #newClaim(): Claim {
    const { name, ttl, metadata = NO_METADATA } = this.#request;
    return { key: name, holder: newHolder(), ttl, instance: this.#context.instance, metadata };
  }

  #waitInLine(seat: Seat): Promise<void> {
    this.#contended(this.#context.instance);
    return this.#patience.bound(seat.turn());
  }

  /** One request to the store, and as many more as a slow grant needs for its confirmation. */
  async #ask(): Promise<Tenure | undefined> {
    const { clock, driver, gate } = this.#context;
    for (let confirming = false; ;) {
      if (!gate.enter()) await this.#turn();
      const anchor = clock.now();
      this.#open = true;
      try {
        const answer = await this.#patience.bound(
          gate.send(() => driver.acquire(this.#claim, this.#seat ? 'queue' : 'try')),
        );
        this.#failure = undefined;
        this.#failures = 0;
        if (answer.status !== 'granted') {
          this.#open = answer.status === 'queued';
          this.#queuedAt = this.#open ? anchor : undefined;
          this.#refused(answer.record);
          return undefined;
        }
        const tenure = this.#tenure(answer, anchor);
        if (isFresh(tenure, answer.ttl)) return tenure;
        if (confirming || tenure.remaining === 0) return this.#cameTooLate();
        confirming = true;
      } catch (error) {
        this.#patience.check();
        this.#open = this.#queuedAt !== undefined;
        this.#stray ||= confirming || !notExecuted(error);
        if (error instanceof LockConfigError) throw error;
        this.#failure = error;
        this.#failures++;
        return undefined;
      }
    }
  }

  /** Who gives up here leaves without a request; a claim that the store knows comes first, or its place there is lost. */
  async #turn(): Promise<void> {
    const { driver, gate } = this.#context;
    try {
      await gate.turn(this.#patience, this.#open);
    } catch (error) {
      if (error === timeUp && this.#refusals === 0) {
        this.#failure ??= new DriverUnavailableError(
          `Lock "${this.#request.key}" was not asked for within ${Math.round(this.#waited)} ms: ${gate.limit} requests ` +
            `of this instance to ${driver.name} are under way, and ${gate.standing + 1} wait for their turn. ` +
            'Ask for fewer locks at once, or give `wait` more time.',
          { sent: this.#stray },
        );
      }
      throw error;
    }
  }

  /** A grant that was (almost) over before it arrived: give it back, and ask as somebody new, but not at once. */
  #cameTooLate(): undefined {
    const { driver, holdings } = this.#context;
    this.#failure = new Error(`${driver.name} takes too long to answer for a TTL of ${this.#claim.ttl} ms.`);
    this.#failures++;
    holdings.cancel(this.#claim);
    this.#claim = this.#newClaim();
    this.#open = false;
    this.#stray = false;
    this.#queuedAt = undefined;
  }

  /**
   * A grant that the store sent by itself. It must be newer than the last answer that we wait, which its token tells: an
   * earlier grant to this claim, whose message comes late, has run out by now. One that needs confirmation is left to
   * the next request.
   */
  #takePushed(): Tenure | undefined {
    const pushed = this.#seat?.takePushed(this.#claim.holder);
    if (!pushed || this.#queuedAt === undefined || !this.#record) return undefined;
    if (pushed.fencingToken <= this.#record.fencingToken) return undefined;
    const tenure = this.#tenure(pushed, this.#queuedAt);
    return isFresh(tenure, pushed.ttl) ? tenure : undefined;
  }

  #tenure(granted: Granted, anchor: number): Tenure {
    const { fencingToken, tokens, ttl } = granted;
    const waiters = this.#seat?.contended ? Math.max(1, granted.waiters) : granted.waiters;
    const { validFor, renewEvery } = this.#request;
    const { clock } = this.#context;
    return new Tenure(
      clock,
      { claim: this.#claim, stray: this.#stray, fencingToken, tokens, ttl, waiters, anchor, validFor, renewEvery },
      clock.now(),
    );
  }

  #firstLease(tenure: Tenure): Lease {
    this.#context.holdings.begin(tenure);
    return this.#delivered(new Lease(this.#request.key, tenure, tenure.takeToken()!, tenure.since));
  }

  #delivered(lease: Lease): Lease {
    const { key, fencingToken, acquiredAt } = lease;
    this.#context.emit({ type: 'acquired', key, fencingToken, waited: acquiredAt - this.#startedAt });
    return lease;
  }

  #refused(record: LockRecord | null): void {
    this.#record = record;
    this.#request.onRefused?.(record);
    this.#contended(record?.instance);
    this.#refusals++;
  }

  #contended(heldBy: string | undefined): void {
    if (this.#isContended) return;
    this.#isContended = true;
    this.#context.emit({ type: 'contended', key: this.#request.key, heldBy });
  }

  #pause(): Promise<void> {
    const milliseconds = this.#delay();
    if (this.#seat) return this.#seat.rest(milliseconds);
    return new Promise((resolve) => void this.#context.clock.after(milliseconds, resolve));
  }

  #delay(): number {
    const { random, driver } = this.#context;
    const { limit, pollEvery } = this.#request;
    if ('attempts' in limit) return limit.retryDelay * (0.75 + random() / 2);
    if (this.#failure !== undefined) return backoff(this.#failures - 1, 50, 1000, random);
    const queued = this.#queuedAt === undefined ? Infinity : heartbeat(this.#claim.ttl) * (0.75 + random() / 2);
    const poll =
      pollEvery !== undefined || driver.capabilities.push
        ? (pollEvery ?? 500) * (0.75 + random() / 2)
        : backoff(this.#refusals, 10, 100, random);
    // A holder that died is followed when its lease has run out. Where the store knows no order among those who wait,
    // a spread keeps them from asking all at once.
    const spread = driver.capabilities.queue ? 0 : random() * 10;
    return Math.min(queued, poll, (this.#record?.remaining ?? Infinity) + 1 + spread);
  }

  #unavailable(): DriverUnavailableError {
    const { driver } = this.#context;
    const cause = this.#failure;
    if (cause instanceof DriverUnavailableError) return cause;
    const why = cause instanceof Error ? `: ${cause.message}` : '';
    return new DriverUnavailableError(
      `Lock "${this.#request.key}": ${driver.name} did not answer within ${Math.round(this.#waited)} ms${why}`,
      { sent: this.#open || this.#stray, cause },
    );
  }
}

function notExecuted(error: unknown): boolean {
  return error instanceof LockConfigError || (error instanceof DriverUnavailableError && !error.sent);
}

/** Whether enough of a grant is left for it to be delivered without another look at the store. */
function isFresh(tenure: Tenure, ttl: number): boolean {
  return tenure.remainingAt(tenure.since) > Math.min(ttl, tenure.validFor) / 4;
}
