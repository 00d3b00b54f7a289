import type { Redis } from 'ioredis';
import { DriverUnavailableError, LockConfigError } from '../../../core/errors.js';
import { namespaceOf } from '../../../core/store-key.js';
import { parseInfo } from '../checks/server-info.js';
import { ScriptCall } from '../commands/script-call.js';
import type { ScriptSender } from '../commands/script-sender.js';
import type { Servers, ServersListener } from '../connection/servers.js';
import { scripts } from '../scripts/scripts.generated.js';

/** One server being the master, from the moment it became that until it is a replica, or ends. */
interface Reign {
  /** The replication id. */
  readonly id: string;
  /** In local time, when it has lasted long enough. */
  until: number;
  /** Whether the store was asked since when it is known; before, it counts from when we saw it. */
  isDated: boolean;
}

/**
 * Keeps a server that has not been the master for long from granting leases: those that its predecessor granted or
 * renewed, and did not replicate, have run out by then. A server that restarted counts as a new master.
 *
 * Every lease that a client believes in begins with an acquire that looked at the reign in the same script. What a script
 * hands over to a waiter is not believed before (`trustsPushes`), so a release or a cancel on a new master, which may
 * be of a lease that its predecessor had passed on already, gives nobody a lease. A renewal can only prolong what its
 * holder believes in, and a holder that has released a lease does not renew it.
 *
 * The store keeps since when each reign is known, so that an instance which starts later need not wait again. Such a date
 * can be lost, and then the waiting begins anew, but is never that of another reign; so it is kept once, wherever the
 * slot of its key is, and may move.
 *
 * Not covered: a master that goes on granting after another one took over (`min-replicas-to-write` ends that); slots that
 * leave a master in its quarantine, or a dead one, for another master, whose reign is old. The dates are by the servers'
 * clocks, and one that steps forward ends a quarantine early. A replication id that changes without need costs one more.
 */
export class FailoverQuarantine {
  /** Milliseconds. */
  readonly #duration: number;
  readonly #servers: Servers;
  readonly #listener: Pick<ServersListener, 'replaced'>;
  readonly #reigns = new WeakMap<Redis, Reign>();
  /** Of the latest grant: tells the namespace in which this user may write. */
  #key: string | undefined;

  constructor(duration: number, servers: Servers, listener: Pick<ServersListener, 'replaced'>) {
    this.#duration = duration;
    this.#servers = servers;
    this.#listener = listener;
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

  covers({ rules }: ScriptCall): boolean {
    return rules.inReign !== undefined;
  }

  /** @throws DriverUnavailableError while the server at the other end, which is named, may not grant leases */
  async grant(call: ScriptCall, sender: ScriptSender, server: string, asking = false): Promise<unknown> {
    const { client } = sender;
    const { keys, args, rules } = call;
    this.#key = keys[0]!;
    for (let others = 0; others < 3; others++) {
      const reign = this.#reigns.get(client);
      if (reign) await this.#outlast(reign, server);
      const reply = await sender.run(new ScriptCall(rules.inReign!, keys, [...args, reign?.id ?? ''], rules), asking);
      if (!isOtherReign(reply)) return reply;
      const isNews = reign !== undefined && reign === this.#reigns.get(client);
      this.#reignOf(client, reply[1], server);
      // In its own time: what a listener throws says nothing about the grant.
      if (isNews) queueMicrotask(() => this.#listener.replaced());
    }
    throw new DriverUnavailableError(
      `Redis at ${server} has another replication id each time (failoverQuarantine). Let the address lead to one master only.`,
      {
        sent: false,
      },
    );
  }

  async #outlast(reign: Reign, server: string): Promise<void> {
    if (reign.until > performance.now()) await this.#date(reign);
    const left = reign.until - performance.now();
    if (left <= 0) return;
    throw new DriverUnavailableError(
      `Redis at ${server} has a new master: no lock is granted for ${Math.ceil(left)} ms (failoverQuarantine).`,
      { sent: false },
    );
  }

  async #date(reign: Reign): Promise<void> {
    if (reign.isDated) return;
    // Keys begin with a brace and the namespace.
    const key = `{${namespaceOf(this.#key!.slice(1))}:q:}${reign.id}`;
    try {
      const age = (await this.#servers.run(new ScriptCall(scripts.master, [key], []))) as number;
      reign.until = Math.min(reign.until, performance.now() + this.#duration - age);
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
    const reign = { id, until: performance.now() + this.#duration, isDated: false };
    this.#reigns.set(client, reign);
    return reign;
  }
}

function isOtherReign(reply: unknown): reply is [status: 3, id?: string] {
  return Array.isArray(reply) && reply[0] === 3;
}
