import type { Milliseconds } from './duration.js';
import type { FactStore } from './fact-store.js';

/**
 * The port that a backend implements. The engine does everything else: validity, renewal, waiting, retries, signals.
 *
 * Rules for every driver:
 * 1. A call settles in bounded time. A rejection means that the outcome is unknown, unless it is a
 *    `DriverUnavailableError` whose `sent` is false (known not to have been executed) or a `LockConfigError`.
 * 2. `acquire` is idempotent for a claim's holder. Repeated, it answers with the same token and arms the whole TTL
 *    again.
 * 3. A holder that was released or cancelled is never granted or queued again, also when its acquire arrives late.
 * 4. Fencing tokens strictly increase for each key, in the atomic step that changes the holder, and stay below 2^53. A
 *    grant may reserve a block of tokens. Each later grant gets a token above the whole block.
 * 5. With a queue, a release passes the lease to the waiter that has waited longest and is alive. A waiter shows that
 *    it is alive every `heartbeat(ttl)`, by `keepPlaces` or by a repeated acquire. The lease that is passed to a waiter
 *    may be armed for a few heartbeats only.
 * 6. From `connect` until `close` a driver with a store keeps the process alive, also while the store is away. Within a
 *    second after `close` nothing of the driver keeps the process alive.
 */
export interface LockDriver {
  /** The name of the driver in messages. */
  readonly name: string;
  /** The abilities of the driver. The engine makes up for missing ones. */
  readonly capabilities: DriverCapabilities;
  /**
   * Starts to deliver events to `listener`. Several listeners may share one driver. When the first connection fails,
   * the driver tries again by itself and reports `up` once it is connected.
   *
   * @throws DriverUnavailableError when the first connection fails
   */
  connect(listener: DriverListener): Promise<void>;
  /**
   * Asks for a lease.
   *
   * @param mode with `queue` the caller will wait. The driver queues the claim, or reports `freed` when a new request
   *   for the key makes sense
   * @param tokens the number of tokens that the caller can use at once; the driver may reserve more, or fewer
   */
  acquire(claim: Claim, mode: AcquireMode, tokens?: number): Promise<Granted | Refused | Queued>;
  /** Ends a claim: it leaves the queue, and a lease that it got in the meantime is given back. */
  cancel(claim: Claim): Promise<void>;
  /**
   * Arms each lease for its `ttl`, which may be shorter than that of its claim; the answers come in the order of the
   * leases.
   */
  renew(leases: readonly LeaseRef[]): Promise<readonly RenewOutcome[]>;
  /**
   * The heartbeats of claims that wait in the queue. The answers come in the order of the places. The call grants
   * nothing and queues nobody. Without this method each waiter repeats its `acquire`.
   */
  keepPlaces?(places: readonly PlaceRef[]): Promise<readonly PlaceOutcome[]>;
  /**
   * The group of a key. Leases and places of different groups are sent by separate calls, so that a part of the store
   * that does not answer delays no other part. Without this method all keys are one group.
   */
  renewalGroup?(key: string): number;
  /**
   * Gives a lease back. A repeated release never touches a successor.
   *
   * @param to the id of a waiting instance that comes before the others; without effect where that instance does not
   *   wait, or where the driver has no queue
   * @returns true when this holder had the key
   */
  release(lease: LeaseRef, to?: string): Promise<boolean>;
  /**
   * Reserves a further block of tokens for a lease; null when the lease is gone. Without this method no lease is passed
   * on within an instance.
   */
  reserve?(lease: LeaseRef, tokens?: number): Promise<TokenBlock | null>;
  /** The record of the holder of a key; null when nobody holds the key. The key is the store key. */
  inspect(key: string): Promise<LockRecord | null>;
  /** The facts in this store: the members of elections, and the claimed fires of `@OncePerTick()`. */
  readonly facts?: FactStore;
  /**
   * Ends the delivery to `listener`. With the last listener the driver closes the connections that it opened itself.
   */
  close(listener: DriverListener): Promise<void>;
}

/** The abilities of a driver. */
export interface DriverCapabilities {
  /** The reach of the exclusion: this process, or all clients of a server. */
  readonly scope: 'process' | 'server';
  /** True where waiters are served in the order of their arrival, over all instances. */
  readonly queue: boolean;
  /** True where waiters get an event at a release. Otherwise the engine polls. */
  readonly push: boolean;
  /** The smallest TTL that the driver accepts. */
  readonly minTtl: Milliseconds;
  /**
   * The largest TTL for which the driver keeps its promises. The engine asks for no larger one.
   *
   * @defaultValue no limit
   */
  readonly maxTtl?: Milliseconds | undefined;
}

export type TtlRange = Pick<DriverCapabilities, 'minTtl' | 'maxTtl'>;

/** The request of one try, or of a caller that will wait. */
export type AcquireMode = 'try' | 'queue';

/** One lease of one holder. */
export interface LeaseRef {
  /** The store key: namespace included. */
  readonly key: string;
  /** The unguessable id of the claim and its lease. It is never used again. */
  readonly holder: string;
  /** The TTL of the lease. */
  readonly ttl: Milliseconds;
}

/** The request for a lease, with all that the store keeps of it. */
export interface Claim extends LeaseRef {
  /** The id of the instance that asks. */
  readonly instance: string;
  /** Strings that the store keeps beside the lease, for people. */
  readonly metadata: Readonly<Record<string, string>>;
}

/** Consecutive fencing tokens of one holder. */
export interface TokenBlock {
  /** The first token. */
  readonly fencingToken: number;
  /** The number of tokens, the first one included. */
  readonly tokens: number;
}

export const NO_METADATA: Claim['metadata'] = {};

/** The claim has the lease. */
export interface Granted extends TokenBlock {
  readonly status: 'granted';
  /** The number of other claims that wait in the store. */
  readonly waiters: number;
  /** The time for which the store armed the lease. */
  readonly ttl: Milliseconds;
}

/** The claim has no lease and no place in a queue. */
export interface Refused {
  readonly status: 'refused';
  /** The holder of the key; null when nobody holds the key and the claim was cancelled. */
  readonly record: LockRecord | null;
}

/** The claim waits in the queue. */
export interface Queued {
  readonly status: 'queued';
  /** The holder of the key, where it is known. */
  readonly record: LockRecord | null;
}

/** A claim that waits in the queue. */
export interface PlaceRef extends LeaseRef {
  /** The fencing token of the lease in front of the claim, by the last answer. */
  readonly behind: number;
}

/**
 * The state of a claim that waits:
 *
 * - An object: the claim is still queued.
 * - `ask`: the lease is free, or the claim is not in the queue. It was granted, passed by, cancelled, or never queued.
 */
export type PlaceOutcome =
  | {
      /** The rest of the lease in front. */
      readonly remaining: Milliseconds;
      /** The holder of the lease in front. May be absent where its fencing token is still that of `behind`. */
      readonly record?: LockRecord;
    }
  | 'ask';

/**
 * The state of a lease after its renewal:
 *
 * - An object: the holder still has the lease.
 * - `held`: the holder still has the lease. The store does not know the number of waiters.
 * - `gone`: the holder no longer has the lease.
 * - `unknown`: the lease may be held and armed again, or not.
 */
export type RenewOutcome =
  | {
      /** The number of claims that wait for the lease. */
      readonly waiters: number;
    }
  | 'held'
  | 'gone'
  | 'unknown';

/** A held key, as the store knows it. */
export interface LockRecord {
  /** The id of the claim that has the lease. */
  readonly holder: string;
  /** The id of the instance that has the lease. */
  readonly instance: string;
  /** The fencing token of the lease. */
  readonly fencingToken: number;
  /**
   * The start of the lease, in milliseconds since 1970: by the clock of the store, or of the holder where the store has no
   * clock or several.
   */
  readonly since: number;
  /** The rest of the lease, by the clock of the store. A hint. */
  readonly remaining: Milliseconds;
  /** The strings that the claim gave. */
  readonly metadata: Readonly<Record<string, string>>;
  /** The number of claims that wait in the store, as far as the driver knows. */
  readonly waiters: number;
}

/** The events of a driver. All are hints: a lost event costs latency, never safety. */
export type DriverEvent =
  /** A new request for the store key makes sense. */
  | { readonly type: 'freed'; readonly key: string }
  /** The lease was passed to this holder. Its `ttl` began after the last heartbeat of the holder was answered. */
  | (Granted & { readonly type: 'granted'; readonly key: string; readonly holder: string })
  /** A waiter began to wait for a lease of this instance. */
  | { readonly type: 'contended'; readonly key: string }
  /** Connected, perhaps to another server: earlier grants, places in queues and messages may be lost. */
  | { readonly type: 'up' }
  /** The store cannot be reached. */
  | { readonly type: 'down'; readonly cause: Error }
  /** An operator should fix a fault of the store before it breaks a lock. Reported once. */
  | { readonly type: 'warning'; readonly message: string };

/** Receives the events of a driver. It must not throw. */
export type DriverListener = (event: DriverEvent) => void;

/** The time after which a waiter has to show again that it is alive, to keep its place in a queue. */
export function heartbeat(ttl: Milliseconds): Milliseconds {
  return Math.max(1, Math.floor(Math.min(ttl / 6, 1000)));
}
