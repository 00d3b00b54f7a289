/**
 * The port that a backend implements. The core owns everything else: validity, renewal, waiting, retries, signals.
 *
 * Rules for every driver:
 * - A call settles in bounded time. A rejection means that the outcome is unknown, unless it is a
 *   `DriverUnavailableError` whose `sent` is false (known not to have been executed) or a `LockConfigError`.
 * - `acquire` is idempotent for a claim's holder: repeated, it answers with the same token and re-arms the whole TTL.
 * - A holder that was released or cancelled is never granted or queued again, also when its acquire arrives late.
 * - Fencing tokens strictly increase per key, in the atomic step that changes the holder, and stay below 2^53.
 */
export interface LockDriver {
  readonly name: string;
  readonly capabilities: DriverCapabilities;
  /**
   * Starts to deliver events to `listener`. Rejects with a DriverUnavailableError when the first connection fails; the
   * driver goes on trying by itself and says `up` once it succeeds. Several listeners may share one driver.
   */
  connect(listener: DriverListener): Promise<void>;
  /** `queue`: the caller will wait, so tell it (`granted` or `freed`) when the key is worth asking for again. */
  acquire(claim: Claim, mode: AcquireMode): Promise<Granted | Refused | Queued>;
  /** Leaves the queue, or gives back what was granted in the meantime. */
  cancel(claim: Claim): Promise<void>;
  /** Re-arms the whole TTL of each lease; the answers come in the order of the leases. */
  renew(leases: readonly LeaseRef[]): Promise<readonly RenewOutcome[]>;
  /** Whether this holder had the key. A repeated release answers false and never touches a successor. */
  release(lease: LeaseRef): Promise<boolean>;
  inspect(key: string): Promise<LockRecord | null>;
  /** Ends the delivery to `listener`; the last one closes what the driver opened itself. */
  close(listener: DriverListener): Promise<void>;
}

export interface DriverCapabilities {
  /** How far the exclusion reaches. */
  readonly scope: 'process' | 'server';
  /** Whether waiters are served in the order of their arrival over all instances. */
  readonly queue: boolean;
  /** Whether waiters are told of a release; otherwise the core polls. */
  readonly push: boolean;
  /** The smallest TTL it accepts, in milliseconds. */
  readonly minTtl: number;
}

export type AcquireMode = 'try' | 'queue';

/** One tenure of one lease, named by the store. `key` is the whole name, namespace included. */
export interface LeaseRef {
  readonly key: string;
  readonly holder: string;
  /** Milliseconds. */
  readonly ttl: number;
}

/** The wish for a lease; everything that the store keeps of it. */
export interface Claim extends LeaseRef {
  readonly instance: string;
  readonly metadata: Readonly<Record<string, string>>;
}

export interface Granted {
  readonly status: 'granted';
  readonly fencingToken: number;
  /** Milliseconds for which the store armed the lease. */
  readonly ttl: number;
}

export interface Refused {
  readonly status: 'refused';
  /** Who holds the key; null when nobody does and the claim had been cancelled. */
  readonly record: LockRecord | null;
}

export interface Queued {
  readonly status: 'queued';
  readonly record: LockRecord | null;
}

export type RenewOutcome = 'held' | 'gone';

/** What the store knows of a held key. */
export interface LockRecord {
  readonly holder: string;
  readonly instance: string;
  readonly fencingToken: number;
  /** Milliseconds until the lease runs out, by the store's clock. A hint. */
  readonly remaining: number;
  readonly metadata: Readonly<Record<string, string>>;
  /** Instances that asked to be told of the release, where the driver knows. */
  readonly waiters: number;
}

/** All events are hints: a lost one costs latency, never safety. */
export type DriverEvent =
  | { readonly type: 'freed'; readonly key: string }
  | { readonly type: 'granted'; readonly key: string; readonly holder: string }
  | { readonly type: 'up' }
  | { readonly type: 'down'; readonly cause: Error };

export type DriverListener = (event: DriverEvent) => void;
