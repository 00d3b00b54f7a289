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
  Refused,
  RenewOutcome,
} from '../../core/lock-driver.js';
import { namespaceOf } from '../../core/store-key.js';
import { RedisConnection, type RedisConnectionOptions } from './connection.js';

/** A token record outlives its last grant by this long, to bridge a server clock that was set back. */
const TOKEN_REMEMBERED = 24 * 3600 * 1000;
/** A cancelled holder is remembered for its TTL, and at least this long. */
const CANCELLED_FOR = 60_000;

type HeldReply = [status: 0, remaining: number, lease?: string, waiters?: number];
type AcquireReply = [status: 1, token: string] | HeldReply;

/**
 * Leases on one Redis server, 6.2 or later. Exclusive as long as the server keeps its data: what a fail-over to a
 * replica or a restart without persistence loses may be granted twice, and then only the fencing token tells.
 */
export class RedisDriver implements LockDriver {
  readonly name = 'redis';
  readonly capabilities: DriverCapabilities = { scope: 'server', queue: false, push: true, minTtl: 100 };

  readonly #connection: RedisConnection;
  readonly #listeners = new Set<DriverListener>();
  readonly #inbox = randomUUID();
  #connecting: Promise<void> | undefined;

  /** @throws LockConfigError naming the option that is wrong */
  constructor(options: RedisConnectionOptions) {
    this.#connection = new RedisConnection(options, {
      up: () => this.#tell({ type: 'up' }),
      down: (cause) => this.#tell({ type: 'down', cause }),
      message: (_channel, lease) => this.#tell({ type: 'freed', key: lease.slice(1, -1) }),
    });
  }

  connect(listener: DriverListener): Promise<void> {
    this.#listeners.add(listener);
    this.#connecting ??= this.#connection.connect();
    return this.#connecting;
  }

  async acquire(claim: Claim, mode: AcquireMode): Promise<Granted | Refused> {
    const { key, holder, ttl, instance, metadata } = claim;
    const inbox = mode === 'queue' ? `${namespaceOf(key)}:i:${this.#inbox}` : '';
    if (inbox) await this.#connection.subscribe(inbox);
    const keys = [leaseKey(key), `{${key}}:t`, inboxesKey(key), cancelledKey(key, holder)];
    const tail = JSON.stringify({ instance, metadata });
    const reply = (await this.#connection.run('acquire', keys, [
      holder,
      ttl,
      tail,
      inbox,
      TOKEN_REMEMBERED,
    ])) as AcquireReply;
    if (reply[0] === 1) return { status: 'granted', fencingToken: Number(reply[1]), ttl };
    return { status: 'refused', record: toRecord(reply) };
  }

  async cancel(claim: Claim): Promise<void> {
    await this.#free(claim, Math.max(claim.ttl, CANCELLED_FOR));
  }

  async renew(leases: readonly LeaseRef[]): Promise<readonly RenewOutcome[]> {
    const keys = leases.map(({ key }) => leaseKey(key));
    const args = leases.flatMap(({ holder, ttl }) => [holder, ttl]);
    const outcomes = (await this.#connection.run('renew', keys, args)) as number[];
    return outcomes.map((held) => (held === 1 ? 'held' : 'gone'));
  }

  release(lease: LeaseRef): Promise<boolean> {
    return this.#free(lease, 0);
  }

  async inspect(key: string): Promise<LockRecord | null> {
    return toRecord((await this.#connection.run('inspect', [leaseKey(key), inboxesKey(key)], [])) as HeldReply);
  }

  async close(listener: DriverListener): Promise<void> {
    this.#listeners.delete(listener);
    if (this.#listeners.size === 0) this.#connection.close();
  }

  async #free({ key, holder }: LeaseRef, cancelledFor: number): Promise<boolean> {
    const keys = [leaseKey(key), inboxesKey(key), cancelledKey(key, holder)];
    return (await this.#connection.run('release', keys, [holder, cancelledFor])) === 1;
  }

  #tell(event: DriverEvent): void {
    for (const listener of this.#listeners) listener(event);
  }
}

// One hash tag per lock, so that all its keys share a slot.
const leaseKey = (key: string): string => `{${key}}`;
const inboxesKey = (key: string): string => `{${key}}:w`;
const cancelledKey = (key: string, holder: string): string => `{${key}}:x:${holder}`;

function toRecord([, remaining, lease, waiters = 0]: HeldReply): LockRecord | null {
  if (lease === undefined) return null;
  const [, holder, token, tail] = /^(\S+) (\d+) (.*)$/s.exec(lease)!;
  const { instance, metadata } = JSON.parse(tail!) as Pick<LockRecord, 'instance' | 'metadata'>;
  return { holder: holder!, instance, metadata, fencingToken: Number(token), remaining, waiters };
}
