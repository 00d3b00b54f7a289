import { randomUUID } from 'node:crypto';
import { SystemClock, systemRandom, type Timer } from '../../core/clock.js';
import { LONGEST_DURATION } from '../../core/duration.js';
import type { FactStore } from '../../core/fact-store.js';
import type {
  AcquireMode,
  Claim,
  DriverCapabilities,
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
import { Listeners } from '../common/listeners.js';
import { CALL_TIMEOUT, type ConnectionListener, EtcdConnection } from './client/connection.js';
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
 * Leases in an etcd cluster, 3.4 or later. Exclusive for as long as a lease is valid, whichever members fail: nothing is
 * granted, confirmed or renewed without a quorum.
 *
 * Not covered:
 * - a quick end of dead holders. etcd counts TTLs in whole seconds, which are rounded up, has a minimum of about 1.5
 *   election timeouts, and may end a lease a second late. A holder that died blocks its lock that much longer than in
 *   the other drivers.
 * - the loss of the quorum. Leases outlive it: the next leader gives each lease its whole TTL again (etcd-io/etcd#9395).
 * - etcd before 3.4.31 and 3.5.13, with slow disks: a leader that was replaced may revoke leases that its successor has
 *   renewed (etcd-io/etcd#15247). The holder notices it at its next renewal.
 */
export class EtcdDriver implements LockDriver {
  readonly name = 'etcd';
  readonly capabilities: DriverCapabilities = { scope: 'server', queue: true, push: true, minTtl: 1000 };
  readonly facts: FactStore;

  readonly #connection: EtcdConnection;
  readonly #watches: Watches;
  readonly #keepAlives: KeepAlives;
  readonly #pool: LeasePool;
  readonly #queues: Queues;
  readonly #claims: Claims;
  readonly #listeners = new Listeners();
  readonly #clock = new SystemClock();
  readonly #inbox = randomUUID();
  readonly #inboxes = new Set<string>();
  #connecting: Promise<void> | undefined;
  #anchor: Timer | undefined;

  /** @throws LockConfigError that names each wrong option */
  constructor(options: EtcdDriverOptions) {
    const clock = this.#clock;
    const notify: DriverListener = (event) => this.#listeners.notify(event);
    const warn = (message: string): void => notify({ type: 'warning', message });
    const listener: ConnectionListener = {
      up: () => notify({ type: 'up' }),
      down: (cause) => notify({ type: 'down', cause }),
      warning: warn,
      moved: () => {
        this.#keepAlives.move();
        this.#watches.move();
      },
    };
    const connection = new EtcdConnection(readOptions(options), listener, clock, systemRandom);
    const keepAlives = new KeepAlives(connection, clock);
    const watches = new Watches(connection, clock, systemRandom);
    const pool = new LeasePool(connection, keepAlives, clock);
    const queues = new Queues(connection, this.#inbox, clock, warn);
    const handOvers = new HandOvers(connection);
    this.#connection = connection;
    this.#keepAlives = keepAlives;
    this.#watches = watches;
    this.#pool = pool;
    this.#queues = queues;
    this.#claims = new Claims({ queues, handOvers, pool, keepAlives, watches, clock, notify });
    this.facts = new EtcdFactStore(connection, pool, keepAlives, watches, clock);
  }

  connect(listener: DriverListener): Promise<void> {
    this.#listeners.add(listener);
    this.#keepProcessAlive();
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

  /** One token: a revision cannot be reserved. */
  async reserve(lease: LeaseRef): Promise<TokenBlock | null> {
    const fencingToken = await this.#claims.reserve(lease);
    return fencingToken === undefined ? null : { fencingToken, tokens: 1 };
  }

  async inspect(key: string): Promise<LockRecord | null> {
    const { owner, count } = await this.#queues.ownerOf(key);
    if (!owner) return null;
    const record = toRecord(owner, count);
    const { TTL } = await this.#connection.call('leaseTimeToLive', { ID: owner.lease }, CALL_TIMEOUT);
    return { ...record, remaining: Math.min(record.remaining, Math.max(0, TTL) * 1000) };
  }

  async close(listener: DriverListener): Promise<void> {
    this.#listeners.remove(listener);
    if (!this.#listeners.isEmpty || this.#connection.isClosed) return;
    this.#anchor?.cancel();
    this.#claims.close();
    await this.#pool.close();
    this.#keepAlives.move();
    this.#watches.close();
    this.#connection.close();
  }

  /** Until `close`. grpc-js keeps no process alive while it waits for a connection. */
  #keepProcessAlive(): void {
    const again = (): void => {
      this.#anchor = this.#clock.after(LONGEST_DURATION, again, true);
    };
    if (!this.#anchor) again();
  }

  /** Watches the inbox of this instance in a namespace that it uses. */
  #listen(key: string): void {
    const namespace = namespaceOf(key);
    if (this.#inboxes.has(namespace)) return;
    this.#inboxes.add(namespace);
    const request = { key: inboxKey(key, this.#inbox) };
    this.#watches.watch(request, {
      changed: ({ value }, isGone) => {
        if (!isGone) this.#read(value);
      },
      // Each renewal counts the waiters.
      missed: () => undefined,
    });
  }

  /** Anybody with write access may write a note. Only a note of this package has an effect. */
  #read(note: string): void {
    const [, key] = /^contended (.*)$/s.exec(note) ?? [];
    if (key !== undefined) this.#listeners.notify({ type: 'contended', key });
  }
}
