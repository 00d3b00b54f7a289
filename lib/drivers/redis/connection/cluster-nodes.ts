import type { Cluster, Redis } from 'ioredis';
import { detached } from '../../../core/detached.js';
import type { ServersListener } from './servers.js';

/** Milliseconds between two looks at who has which slot. */
const REFRESH_EVERY = 100;

/** Who has which slot, and a connection to each: as ioredis knows it, and as redirections have told since. */
export class ClusterNodes {
  readonly #cluster: Cluster;
  readonly #clients = new Map<string, Redis>();
  readonly #moved = new Map<number, string>();
  #refreshing: Promise<void> | undefined;

  /** @param listener told of each connection, and when there is a new one after one was lost, or another master */
  constructor(cluster: Cluster, listener: Pick<ServersListener, 'opened' | 'replaced'>) {
    this.#cluster = cluster;
    let hasLost = false;
    cluster.on('+node', (client: Redis) => {
      this.#clients.set(addressOf(client), client);
      listener.opened(client, addressOf(client));
      client.on('ready', () => {
        if (hasLost) listener.replaced();
        hasLost = false;
      });
    });
    cluster.on('-node', (client: Redis) => {
      hasLost = true;
      const address = addressOf(client);
      if (this.#clients.get(address) === client) this.#clients.delete(address);
    });
    let before: string | undefined;
    cluster.on('refresh', () => {
      this.#moved.clear();
      const masters = cluster.nodes('master').map(addressOf).sort().join(' ');
      // Replicas become masters without a new connection.
      if (masters !== before && before !== undefined) listener.replaced();
      before = masters;
    });
  }

  addressOf(slot: number): string | undefined {
    return this.#moved.get(slot) ?? this.#cluster.slots[slot]?.[0];
  }

  at(address: string | undefined): Redis | undefined {
    return address === undefined ? undefined : this.#clients.get(address);
  }

  /** A redirection told so. */
  moved(slot: number, address: string): void {
    this.#moved.set(slot, address);
  }

  anyMaster(): Redis | undefined {
    const masters = this.#cluster.nodes('master');
    return masters[Math.floor(Math.random() * masters.length)];
  }

  /** Asks the cluster again; resolves when it has answered, or cannot. */
  refresh(): Promise<void> {
    this.#refreshing ??= new Promise<void>((resolve) => {
      this.#cluster.refreshSlotsCache(() => resolve());
      detached(() => setTimeout(() => (this.#refreshing = undefined), REFRESH_EVERY).unref());
    });
    return this.#refreshing;
  }
}

export const addressOf = ({ options }: Redis): string => `${options.host ?? '127.0.0.1'}:${options.port ?? 6379}`;

const opening = new WeakMap<Redis, Promise<void>>();

/** Whether a connection becomes usable in time; one that was not used yet is opened. */
export async function becomesReady(client: Redis, milliseconds: number): Promise<boolean> {
  if (client.status === 'wait') client.connect().catch(() => undefined);
  if (client.status === 'ready') return true;
  if (client.status === 'end') return false;
  let settled = opening.get(client);
  if (!settled) {
    settled = new Promise((resolve) => client.once('ready', resolve).once('end', resolve));
    void settled.then(() => opening.delete(client));
    opening.set(client, settled);
  }
  await Promise.race([settled, new Promise((resolve) => detached(() => setTimeout(resolve, milliseconds).unref()))]);
  return isReady(client);
}

const isReady = ({ status }: Redis): boolean => status === 'ready';
