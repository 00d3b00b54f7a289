import type { Redis } from 'ioredis';
import { DriverUnavailableError, LockConfigError } from '../../core/errors.js';
import { namespaceOf } from '../../core/store-key.js';
import type { ScriptSender } from './script-sender.js';
import { scripts } from './scripts/scripts.generated.js';
import type { Script, ScriptCall, Servers, ServersListener } from './servers.js';

/** One server being the master, from the moment it became that until it is a replica, or ends. */
interface Reign {
  /** The replication id. */
  readonly id: string;
  /** In local time, when it has lasted long enough. */
  until: number;
  /** Whether the store was asked since when it is known; before, it counts from when we saw it. */
  isDated: boolean;
}

type Grant = ScriptCall & { readonly inReign: Script };

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
 */
export class FailoverQuarantine {
  /** Milliseconds. */
  readonly #duration: number;
  readonly #servers: Servers;
  readonly #listener: Pick<ServersListener, 'replaced'>;
  readonly #reigns = new WeakMap<Redis, Reign>();

  constructor(duration: number, servers: Servers, listener: Pick<ServersListener, 'replaced'>) {
    this.#duration = duration;
    this.#servers = servers;
    this.#listener = listener;
  }

  covers(call: ScriptCall): call is Grant {
    return call.inReign !== undefined;
  }

  /** @throws DriverUnavailableError while the server at the other end, which is named, may not grant leases */
  async grant(call: Grant, sender: ScriptSender, server: string, asking = false): Promise<unknown> {
    for (;;) {
      const reign = this.#reigns.get(sender.client);
      if (reign) await this.#outlast(reign, call, server);
      const args = [...call.args, reign?.id ?? ''];
      const reply = await sender.run({ ...call, script: call.inReign, args }, asking);
      if (!isOtherReign(reply)) return reply;
      this.#began(reply[1], sender.client, server);
    }
  }

  async #outlast(reign: Reign, call: ScriptCall, server: string): Promise<void> {
    if (reign.until > performance.now() && !reign.isDated) await this.#date(reign, call);
    const left = reign.until - performance.now();
    if (left <= 0) return;
    throw new DriverUnavailableError(
      `Redis at ${server} has a new master: no lock is granted for ${Math.ceil(left)} ms (failoverQuarantine).`,
      { sent: false },
    );
  }

  async #date(reign: Reign, { keys }: ScriptCall): Promise<void> {
    // Keys begin with a brace and the namespace.
    const key = `{${namespaceOf(keys[0]!.slice(1))}:q:}${reign.id}`;
    try {
      const age = (await this.#servers.run({ script: scripts.master, keys: [key], args: [] })) as number;
      reign.until = Math.min(reign.until, performance.now() + this.#duration - age);
      reign.isDated = true;
    } catch (error) {
      // Another node of a cluster may have it, and be down.
      if (error instanceof LockConfigError) throw error;
    }
  }

  #began(id: string | undefined, client: Redis, server: string): void {
    const before = this.#reigns.get(client);
    if (before?.id === id) return;
    if (!id) {
      throw new LockConfigError(
        `Redis at ${server} does not tell its master_replid in INFO, which failoverQuarantine needs: leave it out.`,
      );
    }
    this.#reigns.set(client, { id, until: performance.now() + this.#duration, isDated: false });
    if (before) this.#listener.replaced();
  }
}

function isOtherReign(reply: unknown): reply is [status: 3, id?: string] {
  return Array.isArray(reply) && reply[0] === 3;
}
