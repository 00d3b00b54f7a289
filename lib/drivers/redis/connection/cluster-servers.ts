import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Cluster, ClusterNode, Redis } from 'ioredis';
import { DriverUnavailableError, type LockConfigError } from '../../../core/errors.js';
import { pause } from '../../../core/pause.js';
import type { ScriptCall } from '../commands/script-call.js';
import { subscriberOfCluster } from './clients.js';
import { ClusterClient } from './cluster-client.js';
import { addressOf } from './cluster-nodes.js';
import type { ConnectionPlan } from './connection-options.js';
import { LastError } from './last-error.js';
import { contextOf, RedisNode } from './node.js';
import { Reconnector } from './reconnector.js';
import type { Servers, ServersListener } from './servers.js';
import { isSplit, redirectOf, slotOf, SplitSlotError, UNSETTLED } from './slots.js';

/** Milliseconds before the next question about a slot that is moving, or has no master. */
const PAUSE = 25;
/** Redirections that are followed without a pause. */
const HOPS = 4;

/**
 * The masters of a cluster. ioredis knows its nodes and connects to them; we route commands ourselves, because:
 *
 * 1. WAIT counts the writes of its own connection. It has to follow the script to the same node.
 * 2. The quarantine compares the reign of one master. A grant has to go to the master whose reign it names.
 * 3. One deadline, `commandTimeout` after the call, covers all redirections, pauses and waits for a connection.
 */
export class ClusterServers implements Servers {
  readonly name: string;
  readonly #plan: ConnectionPlan;
  readonly #lastError: LastError;
  readonly #reconnector: Reconnector;
  readonly #client: ClusterClient;

  constructor(cluster: Cluster, plan: ConnectionPlan, listener: ServersListener) {
    this.name = `cluster of ${startupNodes(cluster)}`;
    this.#plan = plan;
    this.#lastError = new LastError(this.name, plan);
    const replaced = (): void => listener.replaced();
    const context = contextOf(plan, (call) => this.run(call), replaced);
    this.#client = new ClusterClient(cluster, plan, this.#lastError, {
      replaced,
      opened: (client, server) => {
        listener.opened(client, server);
        return new RedisNode(client, server, context);
      },
      ready: () => this.#reconnector.opened(),
      ended: () => {
        listener.lost();
        this.#reconnector.ended();
      },
    });
    this.#reconnector = new Reconnector({
      clock: plan.clock,
      random: plan.random,
      attempt: () => this.#client.attempt(),
      diagnose: () => this.#lastError.diagnose(),
      up: (isNew) => (isNew ? listener.changed() : listener.replaced()),
      down: () => listener.changed(),
    });
  }

  get isUp(): boolean {
    return !this.#reconnector.isDown;
  }

  unreachable(): DriverUnavailableError | LockConfigError {
    return this.#lastError.unreachable();
  }

  async connect(limit: number): Promise<void> {
    if (await this.#reconnector.start(limit - this.#lastError.probeTime)) return;
    await this.#lastError.diagnose();
    throw this.unreachable();
  }

  async run(call: ScriptCall): Promise<unknown> {
    const { clock, random, commandTimeout } = this.#plan;
    const slot = slotOf(call.keys[0]!);
    const deadline = clock.now() + commandTimeout;
    /** The node that takes the slot over, after a redirection to ask there. */
    let taker: string | undefined;
    for (let hops = 0; ; hops++) {
      // 1. Find the node. Nodes that disagree send a command to and fro: after a few redirections a pause.
      if (!this.#client.isReady) await this.#isBack();
      if (hops > HOPS) await pause(clock, PAUSE);
      const node = await this.#nodeFor(slot, taker, deadline);
      try {
        // 2. Send the script.
        return await node.run(call, taker !== undefined);
      } catch (error) {
        // 3. Give up: the caller has another way, the error is no redirection, or the time is over.
        const { nodes } = this.#client;
        const redirect = redirectOf(error);
        if (call.rules.hasDetour && isSplit(error)) throw new SplitSlotError(UNSETTLED, { sent: false, cause: error });
        if (!redirect || clock.now() > deadline) {
          const failure = node.classify(error, redirect && redirect !== 'again' ? UNSETTLED : undefined);
          // A node that does not answer cannot tell us that it was replaced.
          if (failure instanceof DriverUnavailableError && failure.sent) void nodes.refresh();
          throw failure;
        }
        // 4. Follow the redirection.
        taker = undefined;
        if (redirect === 'again') {
          void nodes.refresh();
          await pause(clock, PAUSE * (0.5 + random()));
        } else if (!nodes.at(redirect.to)) {
          await nodes.refresh();
          await pause(clock, PAUSE);
        } else if (redirect.asking) {
          taker = redirect.to;
        } else {
          nodes.moved(redirect.slot, redirect.to!);
          void nodes.refresh();
        }
      }
    }
  }

  openSubscriber(): Redis | undefined {
    return this.#client.nodes
      .anyMaster()
      ?.duplicate(subscriberOfCluster)
      .on('error', () => undefined);
  }

  /** Nodes forward published messages to each other. A node that left the cluster gets none, and keeps its connections. */
  async hasSubscriber(client: Redis): Promise<boolean> {
    await this.#client.nodes.refresh();
    return !this.isUp || this.#client.nodes.at(addressOf(client)) !== undefined;
  }

  close(): void {
    this.#reconnector.close();
    this.#client.close();
  }

  /** @throws DriverUnavailableError unless the cluster is connected again in a moment */
  async #isBack(): Promise<void> {
    await nextTurn();
    if ((await this.#reconnector.isBackSoon()) && this.#client.isReady) return;
    this.#reconnector.refused();
    throw this.unreachable();
  }

  async #nodeFor(slot: number, taker: string | undefined, deadline: number): Promise<RedisNode> {
    let node = this.#client.nodes.at(taker ?? this.#client.nodes.addressOf(slot));
    if (!node) {
      await this.#client.nodes.refresh();
      node = this.#client.nodes.at(this.#client.nodes.addressOf(slot));
    }
    if (node?.client.status !== 'ready') {
      if (!node || !(await node.becomesReady(deadline - this.#plan.clock.now()))) {
        void this.#client.nodes.refresh();
        throw this.unreachable();
      }
    }
    return node;
  }
}

function startupNodes(cluster: Cluster): string {
  const { startupNodes: nodes } = cluster as unknown as { startupNodes: ClusterNode[] };
  const names = nodes.map((node) => {
    if (typeof node === 'string') return node.replace(/^.*[@/]/, '');
    const { host = 'localhost', port = 6379 } = typeof node === 'number' ? { port: node } : node;
    return `${host}:${port}`;
  });
  return names.join(', ');
}
