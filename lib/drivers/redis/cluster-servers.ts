import { setTimeout as sleep } from 'node:timers/promises';
import type { Cluster, ClusterNode, Redis } from 'ioredis';
import { DriverUnavailableError, LockConfigError } from '../../core/errors.js';
import { subscriberOfCluster } from './clients.js';
import { addressOf, becomesReady, ClusterNodes } from './cluster-nodes.js';
import type { ConnectionPlan } from './connection-options.js';
import { FailoverQuarantine } from './failover-quarantine.js';
import { LastError } from './last-error.js';
import { ReplicaAcks } from './replica-acks.js';
import { classify } from './reply-errors.js';
import type { ScriptCall } from './script-call.js';
import { AnswerTimeout } from './script-command.js';
import { ScriptSender } from './script-sender.js';
import type { Servers, ServersListener } from './servers.js';
import { isSplit, redirectOf, slotOf, UNSETTLED } from './slots.js';
import { SplitSlotError } from './split-slot.js';

/** Milliseconds before a slot that is moving, or has no master, is asked again. */
const PAUSE = 25;
/** Redirections that are followed at once. */
const HOPS = 4;

/**
 * The masters of a cluster. ioredis knows its nodes and connects to them; commands take our own way there, which sends
 * one again only after a reply that says it was not executed: ioredis also does when a connection breaks, and queues.
 */
export class ClusterServers implements Servers {
  readonly name: string;
  readonly #cluster: Cluster;
  readonly #nodes: ClusterNodes;
  readonly #plan: ConnectionPlan;
  readonly #answers: AnswerTimeout;
  readonly #senders = new WeakMap<Redis, ScriptSender>();
  readonly #quarantine: FailoverQuarantine | undefined;
  readonly #lastError: LastError;

  constructor(cluster: Cluster, plan: ConnectionPlan, listener: ServersListener) {
    this.name = `cluster of ${startupNodes(cluster)}`;
    this.#cluster = cluster;
    this.#plan = plan;
    this.#lastError = new LastError(this.name);
    this.#answers = new AnswerTimeout(plan.commandTimeout);
    this.#nodes = new ClusterNodes(cluster, {
      replaced: () => listener.replaced(),
      opened: (client, server) => {
        listener.opened(client, server);
        this.#quarantine?.watch(client, server);
      },
    });
    this.#quarantine =
      plan.quarantine === undefined ? undefined : new FailoverQuarantine(plan.quarantine, this, listener);
    for (const event of ['error', 'node error']) cluster.on(event, (error: Error) => this.#lastError.note(error));
    cluster.on('ready', () => {
      this.#lastError.forget();
      listener.changed();
    });
    cluster.on('close', () => listener.changed());
  }

  get isUp(): boolean {
    return this.#cluster.status === 'ready';
  }

  unreachable(): DriverUnavailableError | LockConfigError {
    return this.#lastError.unreachable();
  }

  async connect(): Promise<void> {
    try {
      await this.#cluster.connect();
    } catch (error) {
      throw this.#lastError.unreachable(error);
    }
  }

  async run(call: ScriptCall): Promise<unknown> {
    const slot = slotOf(call.keys[0]!);
    const deadline = performance.now() + this.#plan.commandTimeout;
    /** Who takes the slot over, when it was told to ask there. */
    let taker: string | undefined;
    for (let hops = 0; ; hops++) {
      if (!this.isUp) throw this.unreachable();
      // Nodes that disagree send it to and fro.
      if (hops > HOPS) await sleep(PAUSE);
      const sender = await this.#senderFor(slot, taker, deadline);
      try {
        return await (this.#quarantine?.covers(call)
          ? this.#quarantine.grant(call, sender, addressOf(sender.client), taker !== undefined)
          : sender.run(call, taker !== undefined));
      } catch (error) {
        const redirect = redirectOf(error);
        if (call.rules.hasDetour && isSplit(error)) throw new SplitSlotError(UNSETTLED, { sent: false, cause: error });
        if (!redirect || performance.now() > deadline) {
          const repair = redirect && redirect !== 'again' ? UNSETTLED : undefined;
          const failure = classify(error, addressOf(sender.client), repair);
          // One that does not answer cannot tell that it was replaced.
          if (failure instanceof DriverUnavailableError && failure.sent) void this.#nodes.refresh();
          throw failure;
        }
        taker = undefined;
        if (redirect === 'again') {
          void this.#nodes.refresh();
          await sleep(PAUSE * (0.5 + Math.random()));
        } else if (!this.#nodes.at(redirect.to)) {
          await this.#nodes.refresh();
          await sleep(PAUSE);
        } else if (redirect.asking) {
          taker = redirect.to;
        } else {
          this.#nodes.moved(redirect.slot, redirect.to!);
          void this.#nodes.refresh();
        }
      }
    }
  }

  identity(): Promise<string> {
    return Promise.reject(new LockConfigError(`RedlockDriver: ${this.name} is a cluster; give it single servers.`));
  }

  openSubscriber(): Redis | undefined {
    return this.#nodes
      .anyMaster()
      ?.duplicate(subscriberOfCluster)
      .on('error', () => undefined);
  }

  /** Nodes tell each other what is published; one that left the cluster is told no more, and keeps its connections. */
  async hasSubscriber(client: Redis): Promise<boolean> {
    await this.#nodes.refresh();
    return !this.isUp || this.#nodes.at(addressOf(client)) !== undefined;
  }

  close(): void {
    this.#cluster.disconnect();
  }

  async #senderFor(slot: number, taker: string | undefined, deadline: number): Promise<ScriptSender> {
    let client = this.#nodes.at(taker ?? this.#nodes.addressOf(slot));
    if (!client) {
      await this.#nodes.refresh();
      client = this.#nodes.at(this.#nodes.addressOf(slot));
    }
    if (client?.status !== 'ready') {
      if (!client || !(await becomesReady(client, deadline - performance.now()))) {
        void this.#nodes.refresh();
        throw this.unreachable();
      }
    }
    let sender = this.#senders.get(client);
    if (!sender) {
      const acks = this.#plan.acks && new ReplicaAcks(client, addressOf(client), this.#plan.acks);
      this.#senders.set(client, (sender = new ScriptSender(client, this.#answers, acks)));
    }
    return sender;
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
