import type { Redis } from 'ioredis';
import { DriverUnavailableError, LockConfigError } from '../../../core/errors.js';
import { namespaceOf } from '../../../core/store-key.js';
import { parseInfo } from '../checks/server-info.js';
import { ScriptCall } from '../commands/script-call.js';
import { scripts } from '../scripts/scripts.generated.js';

/** The connection that a grant is sent over. */
export interface GrantSender {
  readonly client: Redis;
  readonly name: string;
  send(call: ScriptCall, asking: boolean): Promise<unknown>;
}

/** The time of one server as the master: from the moment it becomes the master until it is a replica, or ends. */
interface Reign {
  /** The replication id. */
  readonly id: string;
  /** End of the quarantine, in local time. */
  until: number;
  /** The store was asked for the date of the reign. Before, the quarantine counts from our first look. */
  isDated: boolean;
}

export interface QuarantineOptions {
  /** Milliseconds. */
  readonly duration: number;
  /** Milliseconds that only go on with the time: see `monotonicNow` in core/clock.ts. */
  readonly now: () => number;
  /** Runs a script wherever its keys are. */
  readonly run: (call: ScriptCall) => Promise<unknown>;
  /** A connection leads to another reign than before. */
  readonly replaced: () => void;
}

/**
 * Keeps a new master from granting leases until the leases of its predecessor have ended. A master that fails may have
 * granted or renewed leases that no replica has; the new master does not know them. A restarted server is a new master.
 *
 * No two clients believe in one lease, because:
 * 1. Each belief in a lease begins with an acquire, and the acquire compares the reign in the same script.
 * 2. A script may hand a lease over to a waiter. No waiter believes such a push before an acquire confirmed it
 *    (`trustsPushes` is false). So a release or a cancel on a new master, perhaps of a lease that the predecessor had
 *    passed on, gives nobody a lease.
 * 3. A renewal prolongs only a lease that its holder believes in, and a holder renews no lease that it released.
 * 4. A quarantine lasts at least as long as the longest TTL, so every belief from the reign before has ended.
 *
 * The store keeps the date of each reign, so that an instance which starts later does not wait again:
 * 5. A date belongs to one replication id and is never read for another reign.
 * 6. A date can be lost; then the quarantine begins again. So one copy suffices, in whatever slot its key is.
 *
 * Not covered:
 * - A master that goes on granting after another one took over. `min-replicas-to-write` ends that.
 * - Slots that leave a master in its quarantine, or a dead master, for a master whose reign is old.
 * - A server whose clock steps forward: dates are by the servers' clocks, so the quarantine ends early.
 * - A replication id that changes without need: it costs one more quarantine.
 */
export class FailoverQuarantine {
  readonly #options: QuarantineOptions;
  readonly #reigns = new WeakMap<Redis, Reign>();
  /** The key of the latest grant. Its namespace is one in which this user may write. */
  #key: string | undefined;

  constructor(options: QuarantineOptions) {
    this.#options = options;
  }

  /** Dates a reign as soon as there is a connection, so that a lock which is asked for hours later is granted at once. */
  watch(client: Redis, server: string): void {
    client.on('ready', () => {
      const look = async (): Promise<void> => {
        const id = parseInfo(await client.info('replication')).get('master_replid');
        await this.#date(this.#reignOf(client, id, server));
      };
      if (this.#key !== undefined) look().catch(() => undefined);
    });
  }

  /** @throws DriverUnavailableError while the server may not grant leases */
  async grant(call: ScriptCall, sender: GrantSender, asking = false): Promise<unknown> {
    const { client, name } = sender;
    const { keys, args, rules } = call;
    this.#key = keys[0]!;
    for (let others = 0; others < 3; others++) {
      const reign = this.#reigns.get(client);
      if (reign) await this.#outlast(reign, name);
      const reply = await sender.send(new ScriptCall(rules.inReign!, keys, [...args, reign?.id ?? ''], rules), asking);
      if (!isOtherReign(reply)) return reply;
      const isReplaced = reign !== undefined && reign === this.#reigns.get(client);
      this.#reignOf(client, reply[1], name);
      // Later: an error of a listener must not fail the grant.
      if (isReplaced) queueMicrotask(() => this.#options.replaced());
    }
    throw new DriverUnavailableError(
      `Redis at ${name} has another replication id each time (failoverQuarantine). Let the address lead to one master only.`,
      { sent: false },
    );
  }

  async #outlast(reign: Reign, server: string): Promise<void> {
    const { now } = this.#options;
    if (reign.until > now()) await this.#date(reign);
    const left = reign.until - now();
    if (left <= 0) return;
    throw new DriverUnavailableError(
      `Redis at ${server} has a new master: no lock is granted for ${Math.ceil(left)} ms (failoverQuarantine).`,
      { sent: false },
    );
  }

  async #date(reign: Reign): Promise<void> {
    if (reign.isDated) return;
    const { duration, now, run } = this.#options;
    // Keys begin with a brace and the namespace.
    const key = `{${namespaceOf(this.#key!.slice(1))}:q:}${reign.id}`;
    try {
      const age = (await run(new ScriptCall(scripts.master, [key], []))) as number;
      reign.until = Math.min(reign.until, now() + duration - age);
      reign.isDated = true;
    } catch (error) {
      // Another node of a cluster may have the date, and be down.
      if (error instanceof LockConfigError) throw error;
    }
  }

  #reignOf(client: Redis, id: string | undefined, server: string): Reign {
    const known = this.#reigns.get(client);
    if (known && known.id === id) return known;
    if (!id) {
      throw new LockConfigError(
        `Redis at ${server} does not report master_replid in INFO, which failoverQuarantine needs: leave out failoverQuarantine.`,
      );
    }
    const reign = { id, until: this.#options.now() + this.#options.duration, isDated: false };
    this.#reigns.set(client, reign);
    return reign;
  }
}

function isOtherReign(reply: unknown): reply is [status: 3, id?: string] {
  return Array.isArray(reply) && reply[0] === 3;
}
