import { type Clock, SystemClock } from '../../core/clock.js';
import { DriverUnavailableError } from '../../core/errors.js';
import type {
  AcquireMode,
  Claim,
  DriverCapabilities,
  DriverListener,
  Granted,
  LeaseRef,
  LockDriver,
  LockRecord,
  Refused,
  RenewOutcome,
} from '../../core/lock-driver.js';

interface Tenure {
  readonly claim: Claim;
  readonly fencingToken: number;
  until: number;
  /** Instances that asked to be told when the key is free. */
  readonly waiters: Set<string>;
}

/** How long a cancelled holder is remembered, at least; a call within one process cannot be late for longer. */
const CANCELLED_FOR = 60_000;

/**
 * Leases in the memory of one process: for tests, development, and applications of one replica. Several applications
 * in the process that share one driver exclude each other as replicas would.
 */
export class MemoryDriver implements LockDriver {
  readonly name = 'memory';
  readonly capabilities: DriverCapabilities = { scope: 'process', queue: false, push: true, minTtl: 20 };

  readonly #clock: Clock;
  readonly #tenures = new Map<string, Tenure>();
  /** Holders that were cancelled, oldest first, with the time until which they are remembered. */
  readonly #cancelled = new Map<string, number>();
  readonly #listeners = new Set<DriverListener>();
  #lastToken = 0;

  /** @param options.clock for tests with a manual clock; default: the system's */
  constructor(options: { readonly clock?: Clock } = {}) {
    this.#clock = options.clock ?? new SystemClock();
  }

  async connect(listener: DriverListener): Promise<void> {
    this.#listeners.add(listener);
  }

  async acquire(claim: Claim, mode: AcquireMode): Promise<Granted | Refused> {
    this.#assertOpen();
    const current = this.#tenure(claim.key);
    if (current && current.claim.holder !== claim.holder) {
      if (mode === 'queue' && !this.#isCancelled(claim.holder)) current.waiters.add(claim.instance);
      return { status: 'refused', record: this.#record(current) };
    }
    if (current) {
      current.until = this.#clock.now() + claim.ttl;
      return { status: 'granted', fencingToken: current.fencingToken, ttl: claim.ttl };
    }
    if (this.#isCancelled(claim.holder)) return { status: 'refused', record: null };

    // In step with the wall clock, so that a restarted process continues above the tokens that were stored elsewhere.
    this.#lastToken = Math.max(this.#lastToken + 1, Math.floor(this.#clock.wall() * 1000));
    const fencingToken = this.#lastToken;
    this.#tenures.set(claim.key, { claim, fencingToken, until: this.#clock.now() + claim.ttl, waiters: new Set() });
    return { status: 'granted', fencingToken, ttl: claim.ttl };
  }

  async cancel(claim: Claim): Promise<void> {
    this.#assertOpen();
    this.#cancelled.set(claim.holder, this.#clock.now() + Math.max(claim.ttl, CANCELLED_FOR));
    this.#free(claim);
  }

  async renew(leases: readonly LeaseRef[]): Promise<readonly RenewOutcome[]> {
    this.#assertOpen();
    return leases.map((lease) => {
      const tenure = this.#tenure(lease.key);
      if (tenure?.claim.holder !== lease.holder) return 'gone';
      tenure.until = this.#clock.now() + lease.ttl;
      return 'held';
    });
  }

  async release(lease: LeaseRef): Promise<boolean> {
    this.#assertOpen();
    return this.#free(lease);
  }

  async inspect(key: string): Promise<LockRecord | null> {
    this.#assertOpen();
    const tenure = this.#tenure(key);
    return tenure ? this.#record(tenure) : null;
  }

  async close(listener: DriverListener): Promise<void> {
    this.#listeners.delete(listener);
  }

  #assertOpen(): void {
    if (this.#listeners.size === 0) throw new DriverUnavailableError('The memory driver is closed.', { sent: false });
  }

  #tenure(key: string): Tenure | undefined {
    const tenure = this.#tenures.get(key);
    if (tenure && tenure.until <= this.#clock.now()) {
      this.#tenures.delete(key);
      return undefined;
    }
    return tenure;
  }

  #free({ key, holder }: LeaseRef): boolean {
    const tenure = this.#tenure(key);
    if (tenure?.claim.holder !== holder) return false;
    this.#tenures.delete(key);
    if (tenure.waiters.size > 0) for (const listener of this.#listeners) listener({ type: 'freed', key });
    return true;
  }

  #record({ claim, fencingToken, until, waiters }: Tenure): LockRecord {
    const { holder, instance, metadata } = claim;
    return { holder, instance, metadata, fencingToken, remaining: until - this.#clock.now(), waiters: waiters.size };
  }

  #isCancelled(holder: string): boolean {
    const now = this.#clock.now();
    for (const [oldest, until] of this.#cancelled) {
      if (until > now) break;
      this.#cancelled.delete(oldest);
    }
    return this.#cancelled.has(holder);
  }
}
