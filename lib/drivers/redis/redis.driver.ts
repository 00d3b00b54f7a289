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
  PlaceOutcome,
  PlaceRef,
  Queued,
  Refused,
  RenewOutcome,
  TokenBlock,
} from '../../core/lock-driver.js';
import { Listeners } from '../common/listeners.js';
import { bar, drop, orWhenSplit, rearm } from './commands/split-slot.js';
import type { RedisConnectionOptions } from './connection/clients.js';
import type { FailoverOptions } from './connection/connection-options.js';
import { RedisConnection } from './connection/connection.js';
import { askEach, slotOf } from './connection/slots.js';
import { Inbox } from './inbox.js';
import {
  type AcquireReply,
  CANCELLED_FOR,
  type HeldReply,
  keysOf,
  leaseKey,
  placeKeysOf,
  type PlaceReply,
  queueKey,
  tailOf,
  toAcquired,
  toEvent,
  toPlace,
  toRecord,
} from './lease-format.js';
import { isCrossSlot, type Marks, oneMark, SlotMarks } from './marks.js';
import { RedisFactStore } from './redis-fact-store.js';
import { scripts } from './scripts/scripts.generated.js';

const GRANT = { inReign: scripts.reign, needsReplicas: (reply: unknown): boolean => typeof reply === 'string' };
const BLOCK = { needsReplicas: (reply: unknown): boolean => (reply as unknown[]).length > 0 };
const DETOUR = { hasDetour: true };
const RENEWAL = {
  ...DETOUR,
  needsReplicas: (reply: unknown): boolean => (reply as number[]).some((waiters) => waiters >= 0),
};

/** Options of `RedisDriver`: the connection, and the protection of grants in a fail-over. */
export type RedisDriverOptions = RedisConnectionOptions & FailoverOptions;

/**
 * Leases on Redis 6.2 or later: one server, the master that Sentinel names, or a cluster.
 *
 * A lease is exclusive while the server keeps its data. A release passes the lease to the next waiter in the same script,
 * and publishes the grant to the inbox of the waiter's instance.
 *
 * Not covered: a lease that is lost in a fail-over to a replica, or in a restart without persistence, may be granted
 * twice. Then only the fencing token shows which grant is the later one. `replicas.ack` and `failoverQuarantine` make
 * that rarer and cost time.
 */
export class RedisDriver implements LockDriver {
  readonly name = 'redis';
  readonly capabilities: DriverCapabilities;
  readonly facts: FactStore;

  readonly #connection: RedisConnection;
  #marks: Marks;
  readonly #listeners = new Listeners();
  readonly #inbox: Inbox;
  #connecting: Promise<void> | undefined;

  /** @throws LockConfigError with each option that is wrong */
  constructor(options: RedisDriverOptions) {
    this.#connection = new RedisConnection(options, {
      up: () => {
        this.#listeners.notify({ type: 'up' });
        facts.mayHaveMissed();
      },
      down: (cause) => this.#listeners.notify({ type: 'down', cause }),
      warning: (message) => this.#listeners.notify({ type: 'warning', message }),
      message: (channel, message) => {
        const event = toEvent(message);
        if (event) this.#listeners.notify(this.#inbox.trusted(event));
        else facts.heard(channel);
      },
    });
    this.#inbox = new Inbox(this.#connection);
    this.#marks = this.#connection.isCluster ? new SlotMarks() : oneMark;
    const maxTtl = this.#connection.quarantine;
    this.capabilities = { scope: 'server', queue: true, push: true, minTtl: 100, maxTtl };
    const facts = new RedisFactStore(this.#connection);
    this.facts = facts;
  }

  connect(listener: DriverListener): Promise<void> {
    this.#listeners.add(listener);
    this.#connecting ??= this.#connection.connect();
    return this.#connecting;
  }

  async acquire(claim: Claim, mode: AcquireMode, tokens = 1): Promise<Granted | Refused | Queued> {
    const { key, holder, ttl } = claim;
    const inbox = this.#inbox.channelFor(key);
    const subscribing = this.#inbox.subscribe(inbox);
    if (subscribing) await subscribing;
    const args = [holder, ttl, inbox, tailOf(claim), mode, tokens];
    const keys = keysOf(claim, this.#marks);
    let reply: AcquireReply;
    try {
      reply = (await this.#connection.run('acquire', keys, args, GRANT)) as AcquireReply;
    } catch (error) {
      if (this.#marks !== oneMark || !isCrossSlot(error)) throw error;
      // The server is one node of a cluster, or a proxy in front of many.
      this.#marks = new SlotMarks();
      return this.acquire(claim, mode, tokens);
    }
    return toAcquired(reply, claim);
  }

  async cancel(claim: Claim): Promise<void> {
    const { key, holder, ttl } = claim;
    const entry = `${holder} ${this.#inbox.channelFor(key)} ${ttl} ${tailOf(claim)}`;
    const answer = this.#connection.run('cancel', keysOf(claim, this.#marks), [holder, entry, CANCELLED_FOR], DETOUR);
    await orWhenSplit<unknown>(answer, () => bar(this.#connection, claim, CANCELLED_FOR));
  }

  renew(leases: readonly LeaseRef[]): Promise<readonly RenewOutcome[]> {
    this.#connection.lookAtClocks();
    return askEach(
      leases,
      (key) => this.renewalGroup(key),
      (group) => this.#renewTogether(group),
    );
  }

  keepPlaces(places: readonly PlaceRef[]): Promise<readonly PlaceOutcome[]> {
    return askEach(
      places,
      (key) => this.renewalGroup(key),
      (group) => this.#keepTogether(group),
    );
  }

  /** A script reaches one slot of a cluster. */
  renewalGroup(key: string): number {
    return this.#connection.isCluster ? slotOf(leaseKey(key)) : 0;
  }

  release(lease: LeaseRef, to?: string): Promise<boolean> {
    const args = to === undefined ? [lease.holder] : [lease.holder, to];
    const answer = this.#connection
      .run('release', keysOf(lease, this.#marks), args, DETOUR)
      .then((reply) => reply === 1);
    return orWhenSplit(answer, () => drop(this.#connection, lease));
  }

  async reserve(lease: LeaseRef, tokens = 1): Promise<TokenBlock | null> {
    const args = [lease.holder, tokens];
    const reply = await this.#connection.run('reserve', keysOf(lease, this.#marks), args, BLOCK);
    const [token, reserved] = reply as [token?: string, reserved?: string];
    return token === undefined ? null : { fencingToken: Number(token), tokens: Number(reserved) };
  }

  async inspect(key: string): Promise<LockRecord | null> {
    return toRecord((await this.#connection.run('inspect', [leaseKey(key), queueKey(key)], [])) as HeldReply, key);
  }

  async close(listener: DriverListener): Promise<void> {
    this.#listeners.remove(listener);
    if (this.#listeners.isEmpty) this.#connection.close();
  }

  async #keepTogether(places: readonly PlaceRef[]): Promise<readonly PlaceOutcome[]> {
    for (const inbox of new Set(places.map(({ key }) => this.#inbox.channelFor(key))))
      void this.#inbox.subscribe(inbox);
    const args = places.flatMap(({ holder, behind }) => [holder, behind]);
    const replies = await this.#connection.run('heartbeat', places.flatMap(placeKeysOf), args);
    return (replies as PlaceReply[]).map(toPlace);
  }

  #renewTogether(leases: readonly LeaseRef[]): Promise<readonly RenewOutcome[]> {
    const keys = leases.flatMap(({ key }) => [leaseKey(key), queueKey(key)]);
    const args = leases.flatMap(({ holder, ttl }) => [holder, ttl]);
    const outcomes = this.#connection
      .run('renew', keys, args, RENEWAL)
      .then((reply) => (reply as number[]).map((waiters) => (waiters < 0 ? 'gone' : { waiters })));
    return orWhenSplit<readonly RenewOutcome[]>(outcomes, () =>
      Promise.all(leases.map((lease) => rearm(this.#connection, lease))),
    );
  }
}
