import { type Clock, SystemClock } from '../../core/clock.js';
import { DriverUnavailableError } from '../../core/errors.js';
import type { FactStore } from '../../core/fact-store.js';
import {
  type AcquireMode,
  type Claim,
  type DriverCapabilities,
  type DriverListener,
  type Granted,
  heartbeat,
  type LeaseRef,
  type LockDriver,
  type LockRecord,
  type PlaceOutcome,
  type PlaceRef,
  type Queued,
  type Refused,
  type RenewOutcome,
  type TokenBlock,
} from '../../core/lock-driver.js';
import { EndedHolders } from '../common/ended-holders.js';
import { Listeners } from '../common/listeners.js';
import { type Entry, type Holding, isOver, recordOf, takeNext, type Waiter } from './entry.js';
import { MemoryFactStore } from './memory-fact-store.js';

/** Milliseconds between two searches for keys whose lease ran out. */
const SWEEP = 60_000;
/** Tokens of a hand-over: the number that an instance uses in a row while others wait. */
const IN_A_ROW = 16;

/**
 * Leases in the memory of one process: for tests, development, and applications of one replica. Applications of the
 * process that share one driver exclude each other as replicas would.
 *
 * Not covered:
 * - other processes: they have a memory of their own.
 * - a restart: it forgets all leases.
 */
export class MemoryDriver implements LockDriver {
  readonly name = 'memory';
  readonly capabilities: DriverCapabilities = { scope: 'process', queue: true, push: true, minTtl: 20 };
  readonly facts: FactStore;
  readonly #clock: Clock;
  readonly #entries = new Map<string, Entry>();
  readonly #ended: EndedHolders;
  readonly #listeners = new Listeners();
  #lastToken = 0;
  #isSweeping = false;

  /** @param options `clock`: a `ManualClock` for tests; default: the clock of the system */
  constructor(options: { readonly clock?: Clock } = {}) {
    this.#clock = options.clock ?? new SystemClock();
    this.#ended = new EndedHolders(this.#clock);
    this.facts = new MemoryFactStore(this.#clock, () => this.#assertOpen());
  }

  async connect(listener: DriverListener): Promise<void> {
    this.#listeners.add(listener);
  }

  async acquire(claim: Claim, mode: AcquireMode, tokens = 1): Promise<Granted | Refused | Queued> {
    this.#assertOpen();
    const entry = this.#entry(claim.key);
    if (entry.holding?.claim.holder === claim.holder) return this.#rearm(entry, entry.holding, claim.ttl);
    if (this.#ended.has(claim.holder)) return { status: 'refused', record: null };
    if (!entry.holding && entry.queue.size === 0) return this.#grant(entry, claim, claim.ttl, tokens);

    if (mode === 'queue') this.#enqueue(entry, claim);
    if (!entry.holding) {
      // The lease ran out while others waited: they come first.
      const holding = this.#handOver(entry);
      if (!holding) return this.#grant(entry, claim, claim.ttl, tokens);
      if (holding.claim.holder === claim.holder) return this.#rearm(entry, holding, claim.ttl);
    }
    return { status: mode === 'queue' ? 'queued' : 'refused', record: recordOf(entry, this.#clock.now()) };
  }

  async cancel(claim: Claim): Promise<void> {
    this.#assertOpen();
    this.#ended.add(claim.holder);
    this.#entry(claim.key).queue.delete(claim.holder);
    this.#free(claim);
  }

  async renew(leases: readonly LeaseRef[]): Promise<readonly RenewOutcome[]> {
    this.#assertOpen();
    return leases.map((lease) => {
      const { holding, queue } = this.#entry(lease.key);
      if (holding?.claim.holder !== lease.holder) return 'gone';
      holding.until = this.#clock.now() + lease.ttl;
      return { waiters: queue.size };
    });
  }

  async keepPlaces(places: readonly PlaceRef[]): Promise<readonly PlaceOutcome[]> {
    this.#assertOpen();
    return places.map(({ key, holder, behind }) => {
      const entry = this.#entry(key);
      const waiter = entry.queue.get(holder);
      const record = recordOf(entry, this.#clock.now());
      if (!waiter || !record) return 'ask';
      waiter.seen = this.#clock.now();
      const { remaining } = record;
      return record.fencingToken === behind ? { remaining } : { remaining, record };
    });
  }

  async release(lease: LeaseRef, to?: string): Promise<boolean> {
    this.#assertOpen();
    return this.#free(lease, to);
  }

  async reserve({ key, holder }: LeaseRef, tokens = 1): Promise<TokenBlock | null> {
    this.#assertOpen();
    return this.#entry(key).holding?.claim.holder === holder ? this.#mint(tokens) : null;
  }

  async inspect(key: string): Promise<LockRecord | null> {
    this.#assertOpen();
    return recordOf(this.#entry(key), this.#clock.now());
  }

  async close(listener: DriverListener): Promise<void> {
    this.#listeners.remove(listener);
  }

  #assertOpen(): void {
    if (this.#listeners.isEmpty) throw new DriverUnavailableError('The memory driver is closed.', { sent: false });
  }

  /** The key as it is now. A lease that has run out is dropped. */
  #entry(key: string): Entry {
    const entry = this.#entries.get(key) ?? { holding: undefined, queue: new Map<string, Waiter>() };
    if (entry.holding && entry.holding.until <= this.#clock.now()) entry.holding = undefined;
    return entry;
  }

  #grant(entry: Entry, claim: Claim, ttl: number, tokens: number): Granted {
    const block = this.#mint(tokens);
    const { fencingToken } = block;
    entry.holding = { claim, fencingToken, since: this.#clock.wall(), until: this.#clock.now() + ttl };
    this.#entries.set(claim.key, entry);
    this.#sweepLater();
    return { status: 'granted', ...block, ttl, waiters: entry.queue.size };
  }

  #rearm(entry: Entry, holding: Holding, ttl: number): Granted {
    holding.until = this.#clock.now() + ttl;
    return { status: 'granted', fencingToken: holding.fencingToken, tokens: 1, ttl, waiters: entry.queue.size };
  }

  #enqueue(entry: Entry, claim: Claim): void {
    const isNew = !entry.queue.has(claim.holder);
    entry.queue.set(claim.holder, { claim, seen: this.#clock.now() });
    this.#entries.set(claim.key, entry);
    if (isNew && entry.queue.size === 1) this.#listeners.notify({ type: 'contended', key: claim.key });
  }

  /** Passes the lease to the next waiter. Armed for a few heartbeats only: the new holder renews early. */
  #handOver(entry: Entry, to?: string): Holding | undefined {
    const next = takeNext(entry.queue, this.#clock.now(), to);
    if (!next) return undefined;
    const { claim } = next;
    const granted = this.#grant(entry, claim, 4 * heartbeat(claim.ttl), IN_A_ROW);
    this.#listeners.notify({ ...granted, type: 'granted', key: claim.key, holder: claim.holder });
    return entry.holding;
  }

  #free({ key, holder }: LeaseRef, to?: string): boolean {
    const entry = this.#entry(key);
    const isHolder = entry.holding?.claim.holder === holder;
    if (isHolder) {
      entry.holding = undefined;
      this.#handOver(entry, to);
    }
    if (!entry.holding && entry.queue.size === 0) this.#entries.delete(key);
    return isHolder;
  }

  /** Tokens keep up with the wall clock, so that those of a restarted process are above the stored ones. */
  #mint(tokens: number): TokenBlock {
    const fencingToken = Math.max(this.#lastToken + 1, Math.floor(this.#clock.wall() * 1000));
    this.#lastToken = fencingToken + tokens - 1;
    return { fencingToken, tokens };
  }

  #sweepLater(): void {
    if (this.#isSweeping) return;
    this.#isSweeping = true;
    this.#clock.after(SWEEP, () => this.#sweep());
  }

  /** Forgets keys whose lease ran out and whose waiters are all dead: perhaps nobody asks for them again. */
  #sweep(): void {
    this.#isSweeping = false;
    const now = this.#clock.now();
    for (const [key, entry] of this.#entries) if (isOver(entry, now)) this.#entries.delete(key);
    if (this.#entries.size > 0) this.#sweepLater();
  }
}
