import { randomUUID } from 'node:crypto';
import { LockConfigError } from '../../core/errors.js';
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
  PlaceOutcome,
  PlaceRef,
  Queued,
  Refused,
  RenewOutcome,
  TokenBlock,
} from '../../core/lock-driver.js';
import { namespaceOf } from '../../core/store-key.js';
import { bar, drop, orWhenSplit, rearm } from './commands/split-slot.js';
import type { RedisConnectionOptions } from './connection/clients.js';
import type { FailoverOptions } from './connection/connection-options.js';
import { RedisConnection } from './connection/connection.js';
import { askEach, slotOf } from './connection/slots.js';
import {
  type HeldReply,
  keysOf,
  leaseKey,
  placeKeysOf,
  type PlaceReply,
  queueKey,
  tailOf,
  toEvent,
  toPlace,
  toRecord,
} from './lease-format.js';
import { type Marks, oneMark, SlotMarks } from './marks.js';
import { RedisFactStore } from './redis-fact-store.js';
import { scripts } from './scripts/scripts.generated.js';

/**
 * For so long, in milliseconds, a cancelled holder is remembered, whatever its TTL. A request of it that comes later than
 * the cancel left over a connection that was given up since; a network that is mended delivers what such a connection has
 * sent, or never: Linux repeats it at most 51 s after the time before, for less than two minutes in all.
 */
const CANCELLED_FOR = 60_000;
/** The end of an inbox to which a server publishes whose own clients need not listen to it: see scripts/include/queue.lua. */
const ANYWHERE = ':cluster';
/** 'token tokens waiters' */
type GrantedReply = string;

const GRANT = { inReign: scripts.reign, needsReplicas: (reply: unknown): boolean => typeof reply === 'string' };
const BLOCK = { needsReplicas: (reply: unknown): boolean => (reply as unknown[]).length > 0 };
const DETOUR = { hasDetour: true };
const RENEWAL = {
  ...DETOUR,
  needsReplicas: (reply: unknown): boolean => (reply as number[]).some((waiters) => waiters >= 0),
};

export type RedisDriverOptions = RedisConnectionOptions & FailoverOptions;

/**
 * Leases on Redis 6.2 or later: one server, the master that Sentinel names, or a cluster. Exclusive as long as the
 * server keeps its data: what a fail-over to a replica or a restart without persistence loses may be granted twice, and
 * then only the fencing token tells. `replicas.ack` and `failoverQuarantine` make that rarer, for time.
 *
 * A release passes the lease to the next waiter in the same script and publishes it to the inbox of its instance.
 */
export class RedisDriver implements LockDriver {
  readonly name = 'redis';
  readonly capabilities: DriverCapabilities;
  readonly facts: FactStore;

  readonly #connection: RedisConnection;
  #marks: Marks;
  readonly #listeners = new Set<DriverListener>();
  readonly #inbox = randomUUID();
  /** The channel of the inbox, by namespace. */
  readonly #inboxes = new Map<string, string>();
  #connecting: Promise<void> | undefined;

  /** @throws LockConfigError naming the option that is wrong */
  constructor(options: RedisDriverOptions) {
    this.#connection = new RedisConnection(options, {
      up: () => {
        this.#tell({ type: 'up' });
        facts.mayHaveMissed();
      },
      down: (cause) => this.#tell({ type: 'down', cause }),
      warning: (message) => this.#tell({ type: 'warning', message }),
      message: (channel, message) => {
        const event = toEvent(message);
        if (event) this.#tell(this.#trusted(event));
        else facts.heard(channel);
      },
    });
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
    const inbox = this.#inboxFor(key);
    if (!this.#connection.listensTo(inbox)) await this.#connection.subscribe(inbox, false);
    const args = [holder, ttl, inbox, tailOf(claim), mode, tokens];
    const keys = keysOf(claim, this.#marks);
    let reply: GrantedReply | HeldReply;
    try {
      reply = (await this.#connection.run('acquire', keys, args, GRANT)) as GrantedReply | HeldReply;
    } catch (error) {
      if (this.#marks !== oneMark || !isCrossSlot(error)) throw error;
      // One node of a cluster, or a proxy in front of many.
      this.#marks = new SlotMarks();
      return this.acquire(claim, mode, tokens);
    }
    if (typeof reply === 'string') {
      const [token, reserved, waiters] = reply.split(' ');
      return {
        status: 'granted',
        fencingToken: Number(token),
        tokens: Number(reserved),
        ttl,
        waiters: Number(waiters),
      };
    }
    return { status: reply[0] === 2 ? 'queued' : 'refused', record: toRecord(reply, key) };
  }

  async cancel(claim: Claim): Promise<void> {
    const { key, holder, ttl } = claim;
    const entry = `${holder} ${this.#inboxFor(key)} ${ttl} ${tailOf(claim)}`;
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

  /** One script can reach one slot of a cluster. */
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
    this.#listeners.delete(listener);
    if (this.#listeners.size === 0) this.#connection.close();
  }

  async #keepTogether(places: readonly PlaceRef[]): Promise<readonly PlaceOutcome[]> {
    for (const inbox of new Set(places.map(({ key }) => this.#inboxFor(key)))) {
      if (!this.#connection.listensTo(inbox)) void this.#connection.subscribe(inbox, false);
    }
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

  #inboxFor(key: string): string {
    const namespace = namespaceOf(key);
    let inbox = this.#inboxes.get(namespace);
    if (inbox === undefined) {
      this.#connection.checks.uses(namespace);
      inbox = `${namespace}:i:${this.#inbox}${this.#connection.isCluster ? ANYWHERE : ''}`;
      this.#inboxes.set(namespace, inbox);
    }
    return inbox;
  }

  /** A grant that nobody but the master knows of yet is a reason to ask, which then makes sure. */
  #trusted(event: DriverEvent): DriverEvent {
    const isUnsure = event.type === 'granted' && !this.#connection.trustsPushes;
    return isUnsure ? { type: 'freed', key: event.key } : event;
  }

  #tell(event: DriverEvent): void {
    for (const listener of this.#listeners) listener(event);
  }
}

function isCrossSlot(error: unknown): boolean {
  return error instanceof LockConfigError && /\bCROSSSLOT\b/.test(error.message);
}
