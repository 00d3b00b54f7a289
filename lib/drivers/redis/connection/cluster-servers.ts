import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import type { Cluster, ClusterNode, Redis } from 'ioredis';
import { DriverUnavailableError, LockConfigError } from '../../../core/errors.js';
import { classify } from '../commands/reply-errors.js';
import type { ScriptCall } from '../commands/script-call.js';
import { AnswerTimeout } from '../commands/script-command.js';
import { ScriptSender } from '../commands/script-sender.js';
import { FailoverQuarantine } from '../failover/failover-quarantine.js';
import { ReplicaAcks } from '../failover/replica-acks.js';
import { subscriberOfCluster } from './clients.js';
import { ClusterClient } from './cluster-client.js';
import { addressOf, becomesReady } from './cluster-nodes.js';
import type { ConnectionPlan } from './connection-options.js';
import { Diagnosis } from './diagnosis.js';
import { LastError } from './last-error.js';
import { Reconnector } from './reconnector.js';
import type { Servers, ServersListener } from './servers.js';
import { isSplit, redirectOf, slotOf, SplitSlotError, UNSETTLED } from './slots.js';

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
  readonly #plan: ConnectionPlan;
  readonly #answers: AnswerTimeout;
  readonly #senders = new WeakMap<Redis, ScriptSender>();
  readonly #quarantine: FailoverQuarantine | undefined;
  readonly #lastError: LastError;
  readonly #diagnosis: Diagnosis;
  readonly #reconnector: Reconnector;
  readonly #client: ClusterClient;

  constructor(cluster: Cluster, plan: ConnectionPlan, listener: ServersListener) {
    this.name = `cluster of ${startupNodes(cluster)}`;
    this.#plan = plan;
    this.#lastError = new LastError(this.name, plan.sockets.access.rotates);
    this.#diagnosis = new Diagnosis(plan, this.#lastError);
    this.#answers = new AnswerTimeout(plan.commandTimeout);
    this.#quarantine =
      plan.quarantine === undefined ? undefined : new FailoverQuarantine(plan.quarantine, this, listener);
    plan.sockets.hear((error) => this.#lastError.note(error));
    this.#client = new ClusterClient(cluster, plan, this.#lastError, {
      replaced: () => listener.replaced(),
      opened: (client, server) => {
        listener.opened(client, server);
        this.#quarantine?.watch(client, server);
      },
      ready: () => this.#reconnector.opened(),
      ended: () => {
        listener.lost();
        this.#reconnector.ended();
      },
    });
    this.#reconnector = new Reconnector({
      attempt: () => this.#client.attempt(),
      diagnose: () => this.#diagnosis.look(),
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
    if (await this.#reconnector.start(limit - this.#diagnosis.probeTime)) return;
    await this.#diagnosis.look();
    throw this.unreachable();
  }

  async run(call: ScriptCall): Promise<unknown> {
    const slot = slotOf(call.keys[0]!);
    const deadline = performance.now() + this.#plan.commandTimeout;
    /** Who takes the slot over, when it was told to ask there. */
    let taker: string | undefined;
    for (let hops = 0; ; hops++) {
      if (!this.#client.isReady) await this.#isBack();
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
          const failure = classify(error, addressOf(sender.client), this.#plan.sockets.access.rotates, repair);
          // One that does not answer cannot tell that it was replaced.
          if (failure instanceof DriverUnavailableError && failure.sent) void this.#client.nodes.refresh();
          throw failure;
        }
        taker = undefined;
        if (redirect === 'again') {
          void this.#client.nodes.refresh();
          await sleep(PAUSE * (0.5 + Math.random()));
        } else if (!this.#client.nodes.at(redirect.to)) {
          await this.#client.nodes.refresh();
          await sleep(PAUSE);
        } else if (redirect.asking) {
          taker = redirect.to;
        } else {
          this.#client.nodes.moved(redirect.slot, redirect.to!);
          void this.#client.nodes.refresh();
        }
      }
    }
  }

  identity(): Promise<string> {
    return Promise.reject(new LockConfigError(`RedlockDriver: ${this.name} is a cluster; give it single servers.`));
  }

  openSubscriber(): Redis | undefined {
    return this.#client.nodes
      .anyMaster()
      ?.duplicate(subscriberOfCluster)
      .on('error', () => undefined);
  }

  /** Nodes tell each other what is published; one that left the cluster is told no more, and keeps its connections. */
  async hasSubscriber(client: Redis): Promise<boolean> {
    await this.#client.nodes.refresh();
    return !this.isUp || this.#client.nodes.at(addressOf(client)) !== undefined;
  }

  close(): void {
    this.#reconnector.close();
    this.#client.close();
  }

  /** @throws DriverUnavailableError unless the cluster is there again in a moment */
  async #isBack(): Promise<void> {
    await nextTurn();
    if ((await this.#reconnector.isBackSoon()) && this.#client.isReady) return;
    this.#reconnector.refused();
    throw this.unreachable();
  }

  async #senderFor(slot: number, taker: string | undefined, deadline: number): Promise<ScriptSender> {
    let client = this.#client.nodes.at(taker ?? this.#client.nodes.addressOf(slot));
    if (!client) {
      await this.#client.nodes.refresh();
      client = this.#client.nodes.at(this.#client.nodes.addressOf(slot));
    }
    if (client?.status !== 'ready') {
      if (!client || !(await becomesReady(client, deadline - performance.now()))) {
        void this.#client.nodes.refresh();
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
