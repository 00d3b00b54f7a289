import { randomUUID } from 'node:crypto';
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
import { NO_METADATA } from '../../core/lock-driver.js';
import type { Registry } from '../../core/registry.js';
import { namespaceOf } from '../../core/store-key.js';
import { RedisConnection, type RedisConnectionOptions } from './connection.js';
import { RedisRegistry } from './redis-registry.js';

/** A cancelled holder is remembered for its TTL, and at least this long. */
const CANCELLED_FOR = 60_000;
/** 'token tokens waiters' */
type GrantedReply = string;
type HeldReply = [status: 0 | 2, remaining?: number, lease?: string, waiters?: number];

/**
 * Leases on one Redis server, 6.2 or later. Exclusive as long as the server keeps its data: what a fail-over to a
 * replica or a restart without persistence loses may be granted twice, and then only the fencing token tells.
 *
 * A release passes the lease to the next waiter in the same script and publishes it to the inbox of its instance.
 */
export class RedisDriver implements LockDriver {
  readonly name = 'redis';
  readonly capabilities: DriverCapabilities = { scope: 'server', queue: true, push: true, minTtl: 100 };

  readonly registry: Registry;

  readonly #connection: RedisConnection;
  readonly #listeners = new Set<DriverListener>();
  readonly #inbox = randomUUID();
  /** The channel of the inbox, by namespace. */
  readonly #inboxes = new Map<string, string>();
  #connecting: Promise<void> | undefined;

  /** @throws LockConfigError naming the option that is wrong */
  constructor(options: RedisConnectionOptions) {
    this.#connection = new RedisConnection(options, {
      up: () => {
        this.#tell({ type: 'up' });
        registry.mayHaveMissed();
      },
      down: (cause) => this.#tell({ type: 'down', cause }),
      warning: (message) => this.#tell({ type: 'warning', message }),
      message: (channel, message) => {
        const event = toEvent(message);
        if (event) this.#tell(event);
        else registry.heard(channel);
      },
    });
    const registry = new RedisRegistry(this.#connection);
    this.registry = registry;
  }

  connect(listener: DriverListener): Promise<void> {
    this.#listeners.add(listener);
    this.#connecting ??= this.#connection.connect();
    return this.#connecting;
  }

  async acquire(claim: Claim, mode: AcquireMode): Promise<Granted | Refused | Queued> {
    const { key, holder, ttl } = claim;
    const inbox = this.#inboxFor(key);
    if (!this.#connection.listensTo(inbox)) await this.#connection.subscribe(inbox);
    const args = [holder, ttl, inbox, tailOf(claim), mode];
    const reply = (await this.#connection.run('acquire', keysOf(claim), args)) as GrantedReply | HeldReply;
    if (typeof reply === 'string') {
      const [token, tokens, waiters] = reply.split(' ');
      return {
        status: 'granted',
        fencingToken: Number(token),
        tokens: Number(tokens),
        ttl,
        waiters: Number(waiters),
      };
    }
    return { status: reply[0] === 2 ? 'queued' : 'refused', record: toRecord(reply) };
  }

  async cancel(claim: Claim): Promise<void> {
    const { key, holder, ttl } = claim;
    const entry = `${holder} ${this.#inboxFor(key)} ${ttl} ${tailOf(claim)}`;
    await this.#connection.run('cancel', keysOf(claim), [holder, entry, Math.max(ttl, CANCELLED_FOR)]);
  }

  async renew(leases: readonly LeaseRef[]): Promise<readonly RenewOutcome[]> {
    const keys = leases.flatMap(({ key }) => [leaseKey(key), queueKey(key)]);
    const args = leases.flatMap(({ holder, ttl }) => [holder, ttl]);
    const outcomes = (await this.#connection.run('renew', keys, args)) as number[];
    return outcomes.map((waiters) => (waiters < 0 ? 'gone' : { waiters }));
  }

  async release(lease: LeaseRef, to?: string): Promise<boolean> {
    const args = to === undefined ? [lease.holder] : [lease.holder, to];
    return (await this.#connection.run('release', keysOf(lease), args)) === 1;
  }

  async reserve(lease: LeaseRef): Promise<TokenBlock | null> {
    const reply = (await this.#connection.run('reserve', keysOf(lease), [lease.holder])) as [string?, number?];
    const [token, tokens = 0] = reply;
    return token === undefined ? null : { fencingToken: Number(token), tokens };
  }

  async inspect(key: string): Promise<LockRecord | null> {
    return toRecord((await this.#connection.run('inspect', [leaseKey(key), queueKey(key)], [])) as HeldReply);
  }

  async close(listener: DriverListener): Promise<void> {
    this.#listeners.delete(listener);
    if (this.#listeners.size === 0) this.#connection.close();
  }

  #inboxFor(key: string): string {
    const namespace = namespaceOf(key);
    let inbox = this.#inboxes.get(namespace);
    if (inbox !== undefined) return inbox;
    this.#connection.checks.uses(namespace);
    this.#inboxes.set(namespace, (inbox = `${namespace}:i:${this.#inbox}`));
    return inbox;
  }

  #tell(event: DriverEvent): void {
    for (const listener of this.#listeners) listener(event);
  }
}

// One hash tag per lock, so that all its keys share a slot.
const leaseKey = (key: string): string => `{${key}}`;
const queueKey = (key: string): string => `{${key}}:q`;

/** In the order in which the scripts expect them. */
function keysOf({ key, holder }: LeaseRef): string[] {
  return [leaseKey(key), `{${key}}:t`, queueKey(key), `{${key}}:w`, `{${key}}:x:${holder}`];
}

/** What the store keeps of a claim for people and for other instances. */
function tailOf({ instance, metadata }: Claim): string {
  if (metadata !== NO_METADATA) return JSON.stringify({ instance, metadata });
  if (plainTail.instance !== instance) plainTail = { instance, text: JSON.stringify({ instance, metadata }) };
  return plainTail.text;
}

/** Of the instance that asked last: almost always the only one, and without metadata. */
let plainTail = { instance: '', text: '' };

function toRecord([, remaining = 0, lease, waiters = 0]: HeldReply): LockRecord | null {
  if (lease === undefined) return null;
  const [, holder, token, tail] = /^(\S+) (\d+) \S+ (.*)$/s.exec(lease)!;
  const { instance, metadata } = JSON.parse(tail!) as Pick<LockRecord, 'instance' | 'metadata'>;
  return { holder: holder!, instance, metadata, fencingToken: Number(token), remaining, waiters };
}

/** Anybody may publish: what is not a message of our scripts is ignored. */
function toEvent(message: string): DriverEvent | undefined {
  const contended = /^contended \{(.*)\}$/s.exec(message);
  if (contended) return { type: 'contended', key: contended[1]! };
  const granted = /^granted (\S+) (\d+) (\d+) (\d+) (\d+) \{(.*)\}$/s.exec(message);
  if (!granted) return undefined;
  const [fencingToken, tokens, ttl, waiters] = granted.slice(2, 6).map(Number) as [number, number, number, number];
  return {
    type: 'granted',
    status: 'granted',
    key: granted[6]!,
    holder: granted[1]!,
    fencingToken,
    tokens,
    ttl,
    waiters,
  };
}
