import type { Milliseconds } from './duration.js';
import type { FactStore } from './fact-store.js';

/**
 * The port that a backend implements. The core owns everything else: validity, renewal, waiting, retries, signals.
 *
 * Rules for every driver:
 * - A call settles in bounded time. A rejection means that the outcome is unknown, unless it is a
 *   `DriverUnavailableError` whose `sent` is false (known not to have been executed) or a `LockConfigError`.
 * - `acquire` is idempotent for a claim's holder: repeated, it answers with the same token and re-arms the whole TTL.
 * - A holder that was released or cancelled is never granted or queued again, also when its acquire arrives late.
 * - Fencing tokens strictly increase per key, in the atomic step that changes the holder, and stay below 2^53. A grant
 *   may reserve a block of them; no later grant then gets a token that is not above the whole block.
 * - With a queue, a release passes the lease to the waiter that has waited longest and is alive. A waiter shows that it
 *   is every `heartbeat(ttl)`, by `keepPlaces` or by asking again; its lease may be armed for a few heartbeats only.
 * - From `connect` until `close` a driver with a store keeps the process alive, also while the store is away. Within a
 *   second after `close` nothing of it does.
 */
export interface LockDriver {
  readonly name: string;
  readonly capabilities: DriverCapabilities;
  /**
   * Starts to deliver events to `listener`. Rejects with a DriverUnavailableError when the first connection fails; the
   * driver goes on trying by itself and reports `up` once it succeeds. Several listeners may share one driver.
   */
  connect(listener: DriverListener): Promise<void>;
  /**
   * `queue`: the caller will wait, so queue it, or report `freed` when the key is worth asking for again. `tokens`: the
   * number that can be used at once; a driver may reserve more, or fewer.
   */
  acquire(claim: Claim, mode: AcquireMode, tokens?: number): Promise<Granted | Refused | Queued>;
  /** Leaves the queue, or gives back what was granted in the meantime. */
  cancel(claim: Claim): Promise<void>;
  /**
   * Arms each lease for its `ttl`, which may be shorter than that of its claim; the answers come in the order of the
   * leases.
   */
  renew(leases: readonly LeaseRef[]): Promise<readonly RenewOutcome[]>;
  /**
   * The heartbeats of claims that wait in the queue; the answers come in the order of the places. It grants nothing and
   * queues nobody. Without it each waiter asks again by `acquire`.
   */
  keepPlaces?(places: readonly PlaceRef[]): Promise<readonly PlaceOutcome[]>;
  /**
   * Leases and places of different groups go by separate calls, so that a part of the store which does not answer costs
   * nothing in the others. Default: all are one group.
   */
  renewalGroup?(key: string): number;
  /**
   * Answers true when this holder had the key. A repeated release answers false and never touches a successor. `to`: the id of a
   * waiting instance that comes before the others; without effect where it does not wait, or there is no queue.
   */
  release(lease: LeaseRef, to?: string): Promise<boolean>;
  /** Reserves a further block of tokens for a lease; null when it is gone. Needed to pass a lease on locally. */
  reserve?(lease: LeaseRef, tokens?: number): Promise<TokenBlock | null>;
  inspect(key: string): Promise<LockRecord | null>;
  readonly facts?: FactStore;
  /** Ends the delivery to `listener`; the last one closes what the driver opened itself. */
  close(listener: DriverListener): Promise<void>;
}

export interface DriverCapabilities {
  /** How far the exclusion reaches. */
  readonly scope: 'process' | 'server';
  /** Waiters are served in the order of their arrival, over all instances. */
  readonly queue: boolean;
  /** Waiters get an event at a release; otherwise the core polls. */
  readonly push: boolean;
  /** The smallest TTL that it accepts. */
  readonly minTtl: Milliseconds;
  /** The largest TTL for which it keeps its promises; the core asks for no larger one. Default: no limit. */
  readonly maxTtl?: Milliseconds | undefined;
}

export type TtlRange = Pick<DriverCapabilities, 'minTtl' | 'maxTtl'>;

export type AcquireMode = 'try' | 'queue';

/** One lease of one holder. `key` is the store key, namespace included. */
export interface LeaseRef {
  readonly key: string;
  readonly holder: string;
  readonly ttl: Milliseconds;
}

/** The wish for a lease, with all that the store keeps of it. */
export interface Claim extends LeaseRef {
  readonly instance: string;
  readonly metadata: Readonly<Record<string, string>>;
}

/** Consecutive fencing tokens of one holder. */
export interface TokenBlock {
  readonly fencingToken: number;
  /** How many there are, the first one included. */
  readonly tokens: number;
}

export const NO_METADATA: Claim['metadata'] = {};

export interface Granted extends TokenBlock {
  readonly status: 'granted';
  /** Others that wait in the store. */
  readonly waiters: number;
  /** The time for which the store armed the lease. */
  readonly ttl: Milliseconds;
}

export interface Refused {
  readonly status: 'refused';
  /** The holder of the key; null when nobody holds it and the claim had been cancelled. */
  readonly record: LockRecord | null;
}

export interface Queued {
  readonly status: 'queued';
  readonly record: LockRecord | null;
}

/** A claim that waits in the queue. */
export interface PlaceRef extends LeaseRef {
  /** The fencing token of the lease that was in front of it at its last answer. */
  readonly behind: number;
}

/**
 * - An object: still queued. `remaining` is the rest of the lease in front; `record` names its holder where its fencing
 *   token is not the one of `behind`.
 * - `ask`: the lease is free, or the claim is not in the queue: it was granted, passed by, cancelled, or never queued.
 */
export type PlaceOutcome = { readonly remaining: Milliseconds; readonly record?: LockRecord } | 'ask';

/**
 * - An object: still held, and the number of those who wait for it.
 * - `held`: still held; the store does not know how many wait.
 * - `gone`: this holder no longer has it.
 * - `unknown`: it may be held and re-armed, or not.
 */
export type RenewOutcome = { readonly waiters: number } | 'held' | 'gone' | 'unknown';

/** A held key, as the store knows it. */
export interface LockRecord {
  readonly holder: string;
  readonly instance: string;
  readonly fencingToken: number;
  /** When this lease began, in milliseconds since 1970, by the clock of the store, or of the holder where it has none. */
  readonly since: number;
  /** Time until the lease runs out, by the store's clock. A hint. */
  readonly remaining: Milliseconds;
  readonly metadata: Readonly<Record<string, string>>;
  /** Instances that wait in the store, where the driver knows. */
  readonly waiters: number;
}

/** All events are hints: a lost one costs latency, never safety. */
export type DriverEvent =
  | { readonly type: 'freed'; readonly key: string }
  /** The lease was passed to this holder, armed for `ttl` from a moment after its last heartbeat was answered. */
  | (Granted & { readonly type: 'granted'; readonly key: string; readonly holder: string })
  /** Somebody began to wait for a lease of this instance. */
  | { readonly type: 'contended'; readonly key: string }
  /** Connected, perhaps to another server: earlier grants, places in queues and messages may be lost. */
  | { readonly type: 'up' }
  | { readonly type: 'down'; readonly cause: Error }
  /** Something that an operator should fix before it breaks a lock; reported once. */
  | { readonly type: 'warning'; readonly message: string };

export type DriverListener = (event: DriverEvent) => void;

/** Time after which a waiter asks again, to keep its place in a queue. */
export function heartbeat(ttl: Milliseconds): Milliseconds {
  return Math.max(1, Math.floor(Math.min(ttl / 6, 1000)));
}
