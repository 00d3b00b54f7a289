import { randomUUID } from 'node:crypto';
import { SystemClock } from '../../core/clock.js';
import { LONGEST_DURATION } from '../../core/duration.js';
import type { FactStore } from '../../core/fact-store.js';
import type {
  AcquireMode,
  Claim,
  DriverCapabilities,
  DriverEvent,
  DriverListener,
  Granted,
  LeaseRef,
  LockDriver,
  LockRecord,
  Queued,
  Refused,
  RenewOutcome,
  TokenBlock,
} from '../../core/lock-driver.js';
import { namespaceOf } from '../../core/store-key.js';
import { CALL_TIMEOUT, EtcdConnection } from './client/connection.js';
import { KeepAlives } from './client/keep-alives.js';
import { Watches } from './client/watches.js';
import { EtcdFactStore } from './etcd-fact-store.js';
import { inboxKey } from './names.js';
import { type EtcdDriverOptions, readOptions } from './options.js';
import { Claims } from './queue/claims.js';
import { HandOvers } from './queue/hand-overs.js';
import { LeasePool } from './queue/lease-pool.js';
import { Queues } from './queue/queues.js';
import { toRecord } from './queue/records.js';

/**
 * Leases in an etcd cluster, 3.4 or later. Exclusive for as long as a lease is valid, whichever members fail, because
 * nothing is granted, confirmed or renewed without a quorum. When the quorum is lost, leases outlive it: the next leader
 * gives each its whole TTL again.
 *
 * etcd counts TTLs in whole seconds, which are rounded up, has a minimum of about 1.5 election timeouts, and may end a
 * lease up to a second late: a holder that died blocks its lock that much longer than in the other drivers.
 */
export class EtcdDriver implements LockDriver {
  readonly name = 'etcd';
  readonly capabilities: DriverCapabilities = { scope: 'server', queue: true, push: true, minTtl: 1000 };
  readonly facts: FactStore;

  readonly #connection: EtcdConnection;
  readonly #watches: Watches;
  readonly #keepAlives: KeepAlives;
  readonly #pool: LeasePool;
  readonly #lines: Queues;
  readonly #claims: Claims;
  readonly #listeners = new Set<DriverListener>();
  readonly #inbox = randomUUID();
  readonly #inboxes = new Set<string>();
  #connecting: Promise<void> | undefined;
  /** Keeps the process alive until `close`: grpc-js does not while it waits for a connection. */
  #anchor: NodeJS.Timeout | undefined;

  /** @throws LockConfigError naming the option that is wrong */
  constructor(options: EtcdDriverOptions) {
    const clock = new SystemClock();
    const tell = (event: DriverEvent): void => this.#tell(event);
    const warn = (message: string): void => this.#tell({ type: 'warning', message });
    this.#connection = new EtcdConnection(readOptions(options), {
      up: () => tell({ type: 'up' }),
      down: (cause) => tell({ type: 'down', cause }),
      warning: warn,
      moved: () => {
        this.#keepAlives.move();
        this.#watches.move();
      },
    });
    const keepAlives = new KeepAlives(this.#connection);
    this.#keepAlives = keepAlives;
    this.#watches = new Watches(this.#connection);
    this.#pool = new LeasePool(this.#connection, keepAlives, clock);
    this.#lines = new Queues(this.#connection, this.#inbox, warn);
    const { lines, pool, watches } = { lines: this.#lines, pool: this.#pool, watches: this.#watches };
    const handOvers = new HandOvers(this.#connection);
    this.#claims = new Claims({ lines, handOvers, pool, keepAlives, watches, clock, tell });
    this.facts = new EtcdFactStore(this.#connection, pool, keepAlives, watches, clock);
  }

  connect(listener: DriverListener): Promise<void> {
    this.#listeners.add(listener);
    this.#anchor ??= setInterval(() => undefined, LONGEST_DURATION);
    this.#connecting ??= this.#connection.connect().finally(() => this.#watches.open());
    return this.#connecting;
  }

  acquire(claim: Claim, mode: AcquireMode): Promise<Granted | Refused | Queued> {
    this.#listen(claim.key);
    return this.#claims.acquire(claim, mode);
  }

  cancel(claim: Claim): Promise<void> {
    return this.#claims.cancel(claim);
  }

  async renew(leases: readonly LeaseRef[]): Promise<readonly RenewOutcome[]> {
    return leases.length === 0 ? [] : this.#claims.renew(leases);
  }

  release(lease: LeaseRef, to?: string): Promise<boolean> {
    return this.#claims.release(lease, to);
  }

  /** One token, because a revision cannot be reserved. */
  async reserve(lease: LeaseRef): Promise<TokenBlock | null> {
    const fencingToken = await this.#claims.reserve(lease);
    return fencingToken === undefined ? null : { fencingToken, tokens: 1 };
  }

  async inspect(key: string): Promise<LockRecord | null> {
    const { owner, count } = await this.#lines.ownerOf(key);
    if (!owner) return null;
    const record = toRecord(owner, count);
    const { TTL } = await this.#connection.call('leaseTimeToLive', { ID: owner.lease }, CALL_TIMEOUT);
    return { ...record, remaining: Math.min(record.remaining, Math.max(0, TTL) * 1000) };
  }

  async close(listener: DriverListener): Promise<void> {
    this.#listeners.delete(listener);
    if (this.#listeners.size > 0 || this.#connection.isClosed) return;
    clearInterval(this.#anchor);
    this.#claims.close();
    await this.#pool.close();
    this.#keepAlives.move();
    this.#watches.close();
    this.#connection.close();
  }

  /** Notes to this instance, from the namespaces that it uses. */
  #listen(key: string): void {
    const namespace = namespaceOf(key);
    if (this.#inboxes.has(namespace)) return;
    this.#inboxes.add(namespace);
    const request = { key: inboxKey(key, this.#inbox) };
    this.#watches.watch(request, {
      changed: ({ value }, isGone) => {
        if (!isGone) this.#read(value);
      },
      // Renewals tell the number of those who wait.
      missed: () => undefined,
    });
  }

  /** Anybody with write access may write one: what is not a note of ours is ignored. */
  #read(note: string): void {
    const [, key] = /^contended (.*)$/s.exec(note) ?? [];
    if (key !== undefined) this.#tell({ type: 'contended', key });
  }

  #tell(event: DriverEvent): void {
    for (const listener of this.#listeners) listener(event);
  }
}
