import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { type DriverUnavailableError, LockConfigError } from '../../../core/errors.js';
import { parseInfo } from '../checks/server-info.js';
import { NOT_WRITTEN } from '../commands/reply-errors.js';
import type { ScriptCall } from '../commands/script-call.js';
import { isReadOnly } from './clients.js';
import type { ConnectionPlan } from './connection-options.js';
import { LastError } from './last-error.js';
import { contextOf, RedisNode } from './node.js';
import { Reconnector } from './reconnector.js';
import type { Servers, ServersListener } from './servers.js';

/** One Redis server, or the master that Sentinel names. */
export class SingleServer implements Servers {
  readonly name: string;
  readonly #client: Redis;
  readonly #plan: ConnectionPlan;
  readonly #node: RedisNode;
  readonly #lastError: LastError;
  readonly #reconnector: Reconnector;
  /** The connection that we gave up last. */
  #left: Redis['stream'] | undefined;

  readonly #fail = (error: unknown): never => {
    if (error instanceof Error && isReadOnly(error)) {
      this.#lastError.note(error);
      this.#reconnector.refused();
      this.#hangUp();
    }
    throw this.#node.classify(error);
  };

  constructor(client: Redis, plan: ConnectionPlan, listener: ServersListener) {
    this.#client = client;
    this.#plan = plan;
    this.name = nameOf(client);
    this.#lastError = new LastError(this.name, plan);
    this.#reconnector = new Reconnector({
      clock: plan.clock,
      random: plan.random,
      attempt: () => void client.connect().catch(() => undefined),
      diagnose: () => this.#lastError.diagnose(),
      up: (isNew) => (isNew ? listener.changed() : listener.replaced()),
      down: () => listener.changed(),
    });
    listener.opened(client, this.name, true);
    const context = contextOf(
      plan,
      (call) => this.run(call),
      () => listener.replaced(),
    );
    this.#node = new RedisNode(client, this.name, context);
    client.on('error', (error: Error) => this.#lastError.note(error));
    client.on('ready', () => {
      this.#lastError.forget();
      this.#reconnector.opened();
    });
    client.on('close', () => listener.lost());
    client.on('end', () => this.#reconnector.ended());
  }

  get isUp(): boolean {
    return !this.#reconnector.isDown;
  }

  async connect(limit: number): Promise<void> {
    if (await this.#reconnector.start(limit - this.#lastError.probeTime)) return;
    await this.#lastError.diagnose();
    throw this.unreachable();
  }

  unreachable(): DriverUnavailableError | LockConfigError {
    return this.#lastError.unreachable();
  }

  run(call: ScriptCall): Promise<unknown> {
    if (this.#client.status !== 'ready') return this.#runSoon(call);
    return this.#node.run(call).catch((error: unknown) => {
      const wasWritten = !(error instanceof Error && NOT_WRITTEN.test(error.message));
      return wasWritten ? this.#fail(error) : this.#runSoon(call);
    });
  }

  /** The connection has just broken, or is down for longer. */
  async #runSoon(call: ScriptCall): Promise<unknown> {
    // ioredis reports the end of a connection a moment later.
    await nextTurn();
    if (!(await this.#reconnector.isBackSoon()) || this.#client.status !== 'ready') {
      this.#reconnector.refused();
      throw this.unreachable();
    }
    return this.#node.run(call).catch(this.#fail);
  }

  /** The server is no master any more; the same name may lead to its successor. Hangs up once, not once for each reply. */
  #hangUp(): void {
    const { stream } = this.#client;
    if (stream === this.#left) return;
    this.#left = stream;
    this.#client.disconnect(true);
  }

  /** The run id of the server: one for all connections to it, another after a restart. RedlockDriver compares them. */
  async identity(): Promise<string> {
    try {
      const id = parseInfo(await this.#client.info('server')).get('run_id');
      if (id) return id;
    } catch (error) {
      throw this.#node.classify(error);
    }
    throw new LockConfigError(
      `Redis at ${this.name} does not report run_id in INFO, by which RedlockDriver knows its servers. Use Redis or Valkey.`,
    );
  }

  openSubscriber(): Redis {
    const client = this.#plan.open(false) as Redis;
    client.on('error', (error: Error) => this.#lastError.note(error));
    return client;
  }

  async hasSubscriber(_: Redis, channel: string): Promise<boolean> {
    try {
      const [, subscribers] = await this.#client.pubsub('NUMSUB', channel);
      return subscribers !== 0;
    } catch {
      return true;
    }
  }

  close(): void {
    this.#reconnector.close();
    this.#client.disconnect();
  }
}

function nameOf({ options }: Redis): string {
  const { sentinels, name, path, host, port } = options;
  if (!sentinels?.length) return path ?? `${host ?? 'localhost'}:${port ?? 6379}`;
  const addresses = sentinels.map((sentinel) => `${sentinel.host ?? 'localhost'}:${sentinel.port ?? 26379}`);
  return `${name} (sentinels ${addresses.join(', ')})`;
}
