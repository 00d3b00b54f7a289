import type { Cluster, Redis } from 'ioredis';
import type { ConnectionPlan } from './connection-options.js';
import type { RedisNode } from './node.js';

/** Milliseconds between two questions who has which slot. */
const REFRESH_EVERY = 100;

export interface NodesListener {
  /** A connection, before it connects. */
  opened(client: Redis, server: string): RedisNode;
  /** A new connection after one was lost, or another master. */
  replaced(): void;
}

/** The owner of each slot, and a connection to each node: as ioredis knows them, corrected by the redirections since. */
export class ClusterNodes {
  readonly #cluster: Cluster;
  readonly #plan: ConnectionPlan;
  readonly #nodes = new Map<string, RedisNode>();
  readonly #moved = new Map<number, string>();
  #refreshing: Promise<void> | undefined;

  constructor(cluster: Cluster, plan: ConnectionPlan, listener: NodesListener) {
    this.#cluster = cluster;
    this.#plan = plan;
    let hasLost = false;
    cluster.on('+node', (client: Redis) => {
      this.#nodes.set(addressOf(client), listener.opened(client, addressOf(client)));
      client.on('ready', () => {
        if (hasLost) listener.replaced();
        hasLost = false;
      });
    });
    cluster.on('-node', (client: Redis) => {
      hasLost = true;
      const address = addressOf(client);
      if (this.#nodes.get(address)?.client === client) this.#nodes.delete(address);
    });
    let before: string | undefined;
    cluster.on('refresh', () => {
      this.#moved.clear();
      const masters = cluster.nodes('master').map(addressOf).sort().join(' ');
      // A replica becomes a master without a new connection.
      if (masters !== before && before !== undefined) listener.replaced();
      before = masters;
    });
  }

  addressOf(slot: number): string | undefined {
    return this.#moved.get(slot) ?? this.#cluster.slots[slot]?.[0];
  }

  at(address: string | undefined): RedisNode | undefined {
    return address === undefined ? undefined : this.#nodes.get(address);
  }

  /** A redirection named the new owner of a slot. */
  moved(slot: number, address: string): void {
    this.#moved.set(slot, address);
  }

  anyMaster(): Redis | undefined {
    const masters = this.#cluster.nodes('master');
    return masters[Math.floor(this.#plan.random() * masters.length)];
  }

  /** Asks the cluster again. Resolves when it has answered, or cannot. */
  refresh(): Promise<void> {
    this.#refreshing ??= new Promise<void>((resolve) => {
      this.#cluster.refreshSlotsCache(() => resolve());
      this.#plan.clock.after(REFRESH_EVERY, () => (this.#refreshing = undefined));
    });
    return this.#refreshing;
  }
}

export const addressOf = ({ options }: Redis): string => `${options.host ?? '127.0.0.1'}:${options.port ?? 6379}`;
