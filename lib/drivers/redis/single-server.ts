import type { Redis } from 'ioredis';
import { detached } from '../../core/call-chain.js';
import { type DriverUnavailableError, LockConfigError } from '../../core/errors.js';
import { connect, isReadOnly } from './clients.js';
import type { ConnectionPlan } from './connection-options.js';
import { FailoverQuarantine } from './failover-quarantine.js';
import { LastError } from './last-error.js';
import { ReplicaAcks } from './replica-acks.js';
import { classify } from './reply-errors.js';
import type { ScriptCall } from './script-call.js';
import { AnswerTimeout } from './script-command.js';
import { ScriptSender } from './script-sender.js';
import { parseInfo } from './server-info.js';
import type { Servers, ServersListener } from './servers.js';

/** Milliseconds. */
const REVIVE = 100;

/** One Redis server, or the master that Sentinel names. */
export class SingleServer implements Servers {
  readonly name: string;
  readonly #client: Redis;
  readonly #open: () => Redis;
  readonly #sender: ScriptSender;
  readonly #quarantine: FailoverQuarantine | undefined;
  readonly #lastError: LastError;
  #isClosed = false;

  readonly #fail = (error: unknown): never => {
    // The client hangs up after this one: see clients.ts.
    if (error instanceof Error && isReadOnly(error)) this.#lastError.note(error);
    throw classify(error, this.name);
  };

  constructor(client: Redis, plan: ConnectionPlan, listener: ServersListener) {
    this.#client = client;
    this.#open = plan.open as () => Redis;
    this.name = nameOf(client);
    this.#lastError = new LastError(this.name);
    const acks = plan.acks && new ReplicaAcks(client, this.name, plan.acks);
    this.#sender = new ScriptSender(client, new AnswerTimeout(plan.commandTimeout), acks);
    this.#quarantine =
      plan.quarantine === undefined ? undefined : new FailoverQuarantine(plan.quarantine, this, listener);
    listener.opened(client, this.name);
    this.#quarantine?.watch(client, this.name);
    client.on('error', (error: Error) => this.#lastError.note(error));
    client.on('ready', () => {
      this.#lastError.forget();
      listener.changed();
    });
    client.on('close', () => listener.changed());
    client.on('end', () => this.#revive());
  }

  get isUp(): boolean {
    return this.#client.status === 'ready';
  }

  async connect(): Promise<void> {
    try {
      await connect(this.#client);
    } catch (error) {
      throw this.#lastError.unreachable(error);
    }
  }

  unreachable(): DriverUnavailableError | LockConfigError {
    return this.#lastError.unreachable();
  }

  run(call: ScriptCall): Promise<unknown> {
    if (this.#client.status !== 'ready') return Promise.reject(this.#lastError.unreachable());
    const answer = this.#quarantine?.covers(call)
      ? this.#quarantine.grant(call, this.#sender, this.name)
      : this.#sender.run(call);
    return answer.catch(this.#fail);
  }

  async identity(): Promise<string> {
    try {
      const id = parseInfo(await this.#client.info('server')).get('run_id');
      if (id) return id;
    } catch (error) {
      throw classify(error, this.name);
    }
    throw new LockConfigError(`Redis at ${this.name} does not tell its run_id in INFO.`);
  }

  openSubscriber(): Redis {
    const client = this.#open();
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
    this.#isClosed = true;
    this.#client.disconnect();
  }

  /** ioredis gives up for good when a sentinel tells of a fail-over while it is looking for the new master. */
  #revive(): void {
    if (this.#isClosed) return;
    const again = (): void => {
      if (!this.#isClosed && this.#client.status === 'end') this.#client.connect().catch(() => undefined);
    };
    detached(() => setTimeout(again, REVIVE).unref());
  }
}

function nameOf({ options }: Redis): string {
  const { sentinels, name, path, host, port } = options;
  if (!sentinels?.length) return path ?? `${host ?? 'localhost'}:${port ?? 6379}`;
  const addresses = sentinels.map((sentinel) => `${sentinel.host ?? 'localhost'}:${sentinel.port ?? 26379}`);
  return `${name} (sentinels ${addresses.join(', ')})`;
}
