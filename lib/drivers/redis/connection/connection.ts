import type { Cluster, Redis } from 'ioredis';
import { detached } from '../../../core/detached.js';
import { StartChecks } from '../checks/start-checks.js';
import { classify } from '../commands/reply-errors.js';
import { ScriptCall, type ScriptRules } from '../commands/script-call.js';
import { scripts } from '../scripts/scripts.generated.js';
import type { RedisConnectionOptions } from './clients.js';
import { ClusterServers } from './cluster-servers.js';
import { type ConnectionPlan, type FailoverOptions, planConnection } from './connection-options.js';
import type { Servers, ServersListener } from './servers.js';
import { SingleServer } from './single-server.js';
import { hearAllErrors } from './socket-errors.js';
import { readBeforeTimeout } from './socket-timeout.js';
import { Subscriber } from './subscriber.js';

export type ScriptName = keyof typeof scripts;

export interface ConnectionListener {
  /** Connected, and the subscriptions are there again; or another server took over. */
  up(): void;
  down(cause: Error): void;
  /** A connection ended; the next may lead to another server. */
  lost?(): void;
  message(channel: string, message: string): void;
  warning(message: string): void;
}

/** Our own connections to where the locks are: for commands, and one for subscriptions. */
export class RedisConnection {
  readonly checks: StartChecks;
  readonly #plan: ConnectionPlan;
  readonly #servers: Servers;
  readonly #subscriber: Subscriber;
  readonly #listener: ConnectionListener;
  #isUp = false;
  #closed = false;

  /** @throws LockConfigError with every option that is wrong */
  constructor(options: RedisConnectionOptions & FailoverOptions, listener: ConnectionListener) {
    this.#plan = planConnection(options);
    this.#listener = listener;
    this.checks = new StartChecks((message) => listener.warning(message));
    this.#servers = serversOf(this.#plan, {
      opened: (client, server, returns = false) => {
        hearAllErrors(client);
        readBeforeTimeout(client);
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
      strayed: () => this.checks.subscriberStrayed(this.server),
      checkEvery: this.#plan.socketTimeout,
      message: (channel, message) => listener.message(channel, message),
      resubscribed: () => this.#mayHaveMissed(),
      refused: (error) => this.checks.subscriptionFailed(error, this.server),
    });
  }

  /** Where it leads, for messages; never credentials. */
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

  /** Whether a grant that the store made by itself counts, or has to be asked for again. */
  get trustsPushes(): boolean {
    return !this.#plan.acks && this.#plan.quarantine === undefined;
  }

  /** Rejects when the first attempt fails, in bounded time; further attempts go on until `close`. */
  async connect(): Promise<void> {
    const { connectTimeout, commandTimeout } = this.#plan;
    const deadline = performance.now() + connectTimeout + commandTimeout;
    try {
      await this.#connect(deadline);
    } catch (error) {
      throw this.checks.refusal ?? error;
    }
    await settled(this.checks.passed(), deadline);
  }

  async #connect(deadline: number): Promise<void> {
    // A cluster tells whom to subscribe at.
    if (this.isCluster) {
      try {
        await this.#servers.connect(deadline - performance.now());
      } finally {
        // What is published is a hint: without it the driver can be used, and it goes on trying.
        await settled(
          this.#subscriber.connect().catch(() => undefined),
          deadline,
        );
      }
    } else {
      const subscriber = this.#subscriber.connect();
      subscriber.catch(() => undefined);
      await this.#servers.connect(deadline - performance.now());
      const refused = subscriber.catch((error: unknown) => {
        throw classify(error, this.server);
      });
      await settled(refused, deadline);
    }
  }

  run(
    script: ScriptName,
    keys: readonly string[],
    args: readonly (string | number)[],
    rules?: ScriptRules,
  ): Promise<unknown> {
    return this.send(new ScriptCall(scripts[script], keys, args, rules));
  }

  send(call: ScriptCall): Promise<unknown> {
    return this.checks.refusal ? Promise.reject(this.checks.refusal) : this.#servers.run(call);
  }

  /** For those who hold leases: a server whose clock went ahead has ended some of them. */
  lookAtClocks(): void {
    void this.checks.clockWentAhead().then((wentAhead) => wentAhead && this.#mayHaveMissed());
  }

  /** What Redis calls this run of the server: the same for all connections to it, another after a restart. */
  identity(): Promise<string> {
    return this.#servers.identity();
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

  #announce(): void {
    const { isUp } = this.#servers;
    if (this.#closed || isUp === this.#isUp) return;
    this.#isUp = isUp;
    if (isUp) this.#listener.up();
    else this.#listener.down(this.#servers.unreachable());
  }

  /** Everybody who waits has to ask again, and everybody who holds has to look. */
  #mayHaveMissed(): void {
    if (this.#isUp) this.#listener.up();
  }
}

function serversOf(plan: ConnectionPlan, listener: ServersListener): Servers {
  const client = plan.open(true);
  // By its mark, since a user's client may come from another copy of ioredis.
  return client.isCluster
    ? new ClusterServers(client as Cluster, plan, listener)
    : new SingleServer(client as Redis, plan, listener);
}

/** Settles as `work` does, or resolves when the time is up: what is left goes on by itself. */
async function settled(work: Promise<unknown>, deadline: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const timeUp = new Promise<void>((resolve) => {
    timer = detached(() => setTimeout(resolve, Math.max(0, deadline - performance.now())));
  });
  await Promise.race([work, timeUp]).finally(() => clearTimeout(timer));
}
