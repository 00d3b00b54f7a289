import type { Cluster } from 'ioredis';
import type { Timer } from '../../../core/clock.js';
import { ClusterNodes, type NodesListener } from './cluster-nodes.js';
import type { ConnectionPlan } from './connection-options.js';
import type { LastError } from './last-error.js';

const NOT_READY = new Error(
  'The cluster is not ready. CLUSTER INFO says why: cluster_state must be ok, and all slots must be assigned.',
);

export interface ClusterListener extends NodesListener {
  ready(): void;
  /** The client, or the attempt to connect, is over. */
  ended(): void;
}

/**
 * The client of ioredis for a cluster: a new client for each attempt. A client without an offline queue disconnects from
 * a cluster that has no slots or is not ready, and never connects again (redis/ioredis#1268).
 */
export class ClusterClient {
  readonly #plan: ConnectionPlan;
  readonly #lastError: LastError;
  readonly #listener: ClusterListener;
  readonly #dropped = new WeakSet<Cluster>();
  #cluster: Cluster;
  #nodes: ClusterNodes;
  /** Ends an attempt that neither succeeds nor fails. */
  #limit: Timer | undefined;

  /** @param cluster for the first attempt */
  constructor(cluster: Cluster, plan: ConnectionPlan, lastError: LastError, listener: ClusterListener) {
    this.#plan = plan;
    this.#lastError = lastError;
    this.#listener = listener;
    this.#cluster = cluster;
    this.#nodes = this.#follow(cluster);
  }

  get isReady(): boolean {
    return this.#cluster.status === 'ready';
  }

  get nodes(): ClusterNodes {
    return this.#nodes;
  }

  attempt(): void {
    if (this.#cluster.status !== 'wait') {
      this.#cluster = this.#plan.open(true) as Cluster;
      this.#nodes = this.#follow(this.#cluster);
    }
    const cluster = this.#cluster;
    const { clock, connectTimeout, commandTimeout } = this.#plan;
    this.#limit = clock.after(connectTimeout + commandTimeout, () => this.#drop(cluster), true);
    cluster.connect().catch((error: unknown) => this.#lastError.note(error));
  }

  close(): void {
    this.#limit?.cancel();
    this.#dropped.add(this.#cluster);
    this.#cluster.disconnect();
  }

  #follow(cluster: Cluster): ClusterNodes {
    const nodes = new ClusterNodes(cluster, this.#plan, this.#listener);
    for (const event of ['error', 'node error']) cluster.on(event, (error: Error) => this.#lastError.note(error));
    cluster.on('ready', () => {
      if (cluster !== this.#cluster) return;
      this.#limit?.cancel();
      this.#lastError.forget();
      this.#listener.ready();
    });
    cluster.on('refresh', () => {
      if (cluster.slots.length > 0) return;
      this.#lastError.note(NOT_READY);
      this.#drop(cluster);
    });
    // ioredis disconnects when the cluster reports that it is not ready.
    cluster.on('disconnecting', () => {
      if (cluster === this.#cluster && this.#lastError.isVague) this.#lastError.note(NOT_READY);
      this.#drop(cluster);
    });
    cluster.on('end', () => this.#drop(cluster));
    return nodes;
  }

  #drop(cluster: Cluster): void {
    if (cluster !== this.#cluster || this.#dropped.has(cluster)) return;
    this.#dropped.add(cluster);
    this.#limit?.cancel();
    cluster.disconnect();
    this.#listener.ended();
  }
}
