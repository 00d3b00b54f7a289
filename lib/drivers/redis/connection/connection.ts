import type { Cluster, Redis } from 'ioredis';
import { type Clock, type Random, SystemClock, systemRandom } from '../../../core/clock.js';
import { LockConfigError } from '../../../core/errors.js';
import { StartChecks } from '../checks/start-checks.js';
import { classify } from '../commands/reply-errors.js';
import { ScriptCall, type ScriptRules } from '../commands/script-call.js';
import { scripts } from '../scripts/scripts.generated.js';
import type { RedisConnectionOptions } from './clients.js';
import { ClusterServers } from './cluster-servers.js';
import { type ConnectionPlan, type FailoverOptions, planConnection } from './connection-options.js';
import { hearAllErrors, readBeforeTimeout } from './ioredis-sockets.js';
import type { Servers, ServersListener } from './servers.js';
import { SingleServer } from './single-server.js';
import { Subscriber } from './subscriber.js';

export interface ConnectionListener {
  /** Connected, with the subscriptions of before; or another server took over. */
  up(): void;
  down(cause: Error): void;
  /** A connection ended; the next may lead to another server. */
  lost?(): void;
  message(channel: string, message: string): void;
  warning(message: string): void;
}

/** The driver's own connections: for commands, and one for subscriptions. */
export class RedisConnection {
  readonly checks: StartChecks;
  readonly #plan: ConnectionPlan;
  readonly #servers: Servers;
  readonly #subscriber: Subscriber;
  readonly #listener: ConnectionListener;
  #isUp = false;
  #closed = false;

  /** @throws LockConfigError with each option that is wrong */
  constructor(
    options: RedisConnectionOptions & FailoverOptions,
    listener: ConnectionListener,
    clock: Clock = new SystemClock(),
    random: Random = systemRandom,
  ) {
    this.#plan = planConnection(options, clock, random);
    this.#listener = listener;
    this.checks = new StartChecks((message) => listener.warning(message), clock);
    this.#servers = serversOf(this.#plan, {
      opened: (client, server, returns = false) => {
        hearAllErrors(client);
        readBeforeTimeout(client, clock);
        this.checks.watch(client, server, returns);
      },
      lost: () => listener.lost?.(),
      changed: () => {
        this.#announce();
        if (this.#isUp) void this.#subscriber.followCommands();
      },
      replaced: () => {
        this.#mayHaveMissed();
        void this.#subscriber.followCommands();
      },
    });
    this.#subscriber = new Subscriber({
      open: () => this.#servers.openSubscriber(),
      isInPlace: (client, channel) => this.#servers.hasSubscriber(client, channel),
      clock,
      random,
      strayed: () => this.checks.subscriberStrayed(this.server),
      checkEvery: this.#plan.socketTimeout,
      message: (channel, message) => listener.message(channel, message),
      resubscribed: () => this.#mayHaveMissed(),
      refused: (error) => this.checks.subscriptionFailed(error, this.server),
    });
  }

  /** The address that it leads to, for messages; never credentials. */
  get server(): string {
    return this.#servers.name;
  }

  get isCluster(): boolean {
    return this.#servers instanceof ClusterServers;
  }

  /** Milliseconds for which a new master grants nothing. */
  get quarantine(): number | undefined {
    return this.#plan.quarantine;
  }

  /** A grant that a script handed over counts at once. Otherwise the waiter has to ask for it again. */
  get trustsPushes(): boolean {
    return !this.#plan.acks && this.#plan.quarantine === undefined;
  }

  /** Rejects when the first attempt fails, in bounded time. More attempts follow until `close`. */
  async connect(): Promise<void> {
    const { clock, connectTimeout, commandTimeout } = this.#plan;
    const deadline = clock.now() + connectTimeout + commandTimeout;
    try {
      await this.#connect(deadline);
    } catch (error) {
      throw this.checks.refusal ?? error;
    }
    await this.#settled(this.checks.passed(), deadline);
  }

  async #connect(deadline: number): Promise<void> {
    const limit = deadline - this.#plan.clock.now();
    // Only a connected cluster knows nodes to subscribe at.
    if (this.isCluster) {
      try {
        await this.#servers.connect(limit);
      } finally {
        // Messages are hints: without them the driver works, and the subscriber goes on trying.
        const subscriber = this.#subscriber.connect().catch(() => undefined);
        await this.#settled(subscriber, deadline);
      }
    } else {
      const subscriber = this.#subscriber.connect();
      subscriber.catch(() => undefined);
      await this.#servers.connect(limit);
      const refused = subscriber.catch((error: unknown) => Promise.reject(classify(error, this.server)));
      await this.#settled(refused, deadline);
    }
  }

  run(
    script: keyof typeof scripts,
    keys: readonly string[],
    args: readonly (string | number)[],
    rules?: ScriptRules,
  ): Promise<unknown> {
    return this.send(new ScriptCall(scripts[script], keys, args, rules));
  }

  send(call: ScriptCall): Promise<unknown> {
    return this.checks.refusal ? Promise.reject(this.checks.refusal) : this.#servers.run(call);
  }

  /** A server whose clock went ahead has ended leases early: their holders have to look. */
  lookAtClocks(): void {
    void this.checks.clockWentAhead().then((wentAhead) => wentAhead && this.#mayHaveMissed());
  }

  /** The run id of the one server; for RedlockDriver. */
  async identity(): Promise<string> {
    if (this.#servers instanceof SingleServer) return this.#servers.identity();
    throw new LockConfigError(`RedlockDriver: ${this.server} is a cluster; give it single servers.`);
  }

  listensTo(channel: string): boolean {
    return this.#subscriber.listensTo(channel);
  }

  subscribe(channel: string, isShared: boolean): Promise<boolean> {
    return this.#subscriber.subscribe(channel, isShared);
  }

  unsubscribe(channel: string): void {
    this.#subscriber.unsubscribe(channel);
  }

  close(): void {
    this.#closed = true;
    this.#servers.close();
    this.#subscriber.close();
    this.#plan.sockets.end();
  }

  /** Settles with `work`, or resolves at the deadline; then the work goes on by itself. */
  #settled(work: Promise<unknown>, deadline: number): Promise<void> {
    const { clock } = this.#plan;
    return new Promise((resolve, reject) => {
      const timer = clock.after(deadline - clock.now(), resolve, true);
      void work.then(() => resolve(), reject).finally(() => timer.cancel());
    });
  }

  #announce(): void {
    const { isUp } = this.#servers;
    if (this.#closed || isUp === this.#isUp) return;
    this.#isUp = isUp;
    if (isUp) this.#listener.up();
    else this.#listener.down(this.#servers.unreachable());
  }

  /** Each waiter has to ask again, and each holder has to look at its lease. */
  #mayHaveMissed(): void {
    if (this.#isUp) this.#listener.up();
  }
}

function serversOf(plan: ConnectionPlan, listener: ServersListener): Servers {
  const client = plan.open(true);
  // Not by instanceof: a user's client may come from another copy of ioredis.
  return client.isCluster
    ? new ClusterServers(client as Cluster, plan, listener)
    : new SingleServer(client as Redis, plan, listener);
}
