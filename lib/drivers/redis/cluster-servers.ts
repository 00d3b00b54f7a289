import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import type { Cluster, ClusterNode, Redis } from 'ioredis';
import { SystemClock, type Timer } from '../../core/clock.js';
import { DriverUnavailableError, LockConfigError } from '../../core/errors.js';
import { subscriberOfCluster } from './clients.js';
import { addressOf, becomesReady, ClusterNodes } from './cluster-nodes.js';
import type { ConnectionPlan } from './connection-options.js';
import { Diagnosis } from './diagnosis.js';
import { FailoverQuarantine } from './failover-quarantine.js';
import { LastError } from './last-error.js';
import { Reconnector } from './reconnector.js';
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

const NOT_READY = new Error(
  'The cluster is not ready. CLUSTER INFO says why: cluster_state must be ok, and all slots must be assigned.',
);

/**
 * The masters of a cluster. ioredis knows its nodes and connects to them; commands take our own way there, which sends
 * one again only after a reply that says it was not executed: ioredis also does when a connection breaks, and queues.
 */
export class ClusterServers implements Servers {
  readonly name: string;
  readonly #plan: ConnectionPlan;
  readonly #listener: ServersListener;
  readonly #answers: AnswerTimeout;
  readonly #senders = new WeakMap<Redis, ScriptSender>();
  readonly #quarantine: FailoverQuarantine | undefined;
  readonly #lastError: LastError;
  readonly #diagnosis: Diagnosis;
  readonly #reconnector: Reconnector;
  readonly #clock = new SystemClock();
  #cluster: Cluster;
  #nodes: ClusterNodes;
  readonly #dropped = new WeakSet<Cluster>();
  /** Ends an attempt that settles nothing. */
  #attemptLimit: Timer | undefined;

  constructor(cluster: Cluster, plan: ConnectionPlan, listener: ServersListener) {
    this.name = `cluster of ${startupNodes(cluster)}`;
    this.#plan = plan;
    this.#listener = listener;
    this.#lastError = new LastError(this.name, plan.sockets.access.rotates);
    this.#diagnosis = new Diagnosis(plan, this.#lastError);
    this.#answers = new AnswerTimeout(plan.commandTimeout);
    this.#quarantine =
      plan.quarantine === undefined ? undefined : new FailoverQuarantine(plan.quarantine, this, listener);
    plan.sockets.hear((error) => this.#lastError.note(error));
    this.#cluster = cluster;
    this.#nodes = this.#follow(cluster);
    this.#reconnector = new Reconnector({
      attempt: () => this.#attempt(),
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

  /**
   * Each attempt needs a client of its own. One of ioredis that finds a cluster without slots, or one that is not ready,
   * hangs up by itself and stays so for ever when it has no offline queue.
   */
  #attempt(): void {
    if (this.#cluster.status !== 'wait') {
      this.#cluster = this.#plan.open(true) as Cluster;
      this.#nodes = this.#follow(this.#cluster);
    }
    const cluster = this.#cluster;
    const { connectTimeout, commandTimeout } = this.#plan;
    this.#attemptLimit = this.#clock.after(connectTimeout + commandTimeout, () => this.#drop(cluster), true);
    cluster.connect().catch((error: unknown) => this.#lastError.note(error));
  }

  #follow(cluster: Cluster): ClusterNodes {
    const nodes = new ClusterNodes(cluster, {
      replaced: () => this.#listener.replaced(),
      opened: (client, server) => {
        this.#listener.opened(client, server);
        this.#quarantine?.watch(client, server);
      },
    });
    for (const event of ['error', 'node error']) cluster.on(event, (error: Error) => this.#lastError.note(error));
    cluster.on('ready', () => {
      if (cluster !== this.#cluster) return;
      this.#attemptLimit?.cancel();
      this.#lastError.forget();
      this.#reconnector.opened();
    });
    cluster.on('refresh', () => {
      if (cluster.slots.length > 0) return;
      this.#lastError.note(NOT_READY);
      this.#drop(cluster);
    });
    // By itself, when the cluster says that it is not ready.
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
    this.#attemptLimit?.cancel();
    cluster.disconnect();
    this.#listener.lost();
    this.#reconnector.ended();
  }

  async run(call: ScriptCall): Promise<unknown> {
    const slot = slotOf(call.keys[0]!);
    const deadline = performance.now() + this.#plan.commandTimeout;
    /** Who takes the slot over, when it was told to ask there. */
    let taker: string | undefined;
    for (let hops = 0; ; hops++) {
      if (this.#cluster.status !== 'ready') await this.#isBack();
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
    this.#attemptLimit?.cancel();
    this.#reconnector.close();
    this.#dropped.add(this.#cluster);
    this.#cluster.disconnect();
  }

  /** @throws DriverUnavailableError unless the cluster is there again in a moment */
  async #isBack(): Promise<void> {
    await nextTurn();
    if ((await this.#reconnector.isBackSoon()) && this.#cluster.status === 'ready') return;
    this.#reconnector.refused();
    throw this.unreachable();
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
