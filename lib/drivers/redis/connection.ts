import { Redis, type RedisOptions } from 'ioredis';
import { DriverUnavailableError, LockConfigError } from '../../core/errors.js';
import { urlProblem } from './redis-url.js';
import { classify } from './reply-errors.js';
import { AnswerTimeout, ScriptCommand } from './script-command.js';
import { scripts } from './scripts/scripts.generated.js';
import { hearAllErrors } from './socket-errors.js';
import { StartChecks } from './start-checks.js';

/** What we need of a user's ioredis client, version 5 or 6. */
export interface RedisClient {
  duplicate(override?: object): unknown;
  readonly options: object;
  readonly isCluster: boolean;
}

/** A URL, the user's ioredis client (which is duplicated, never used or closed), or ioredis options. */
export type RedisConnectionOptions =
  ({ readonly url: string } & RedisOptions) | { readonly client: RedisClient } | RedisOptions;

/**
 * A command is sent at most once and never queued while the connection is down: a lock command that arrives late, or
 * twice, is worse than one that fails.
 */
const enforced = {
  lazyConnect: true,
  enableOfflineQueue: false,
  autoResendUnfulfilledCommands: false,
  maxRetriesPerRequest: 0,
  autoResubscribe: false,
  retryStrategy: (times: number): number => Math.min(1000, 50 * 2 ** Math.min(times, 5)) * (0.5 + Math.random() / 2),
} satisfies RedisOptions;

const defaults = { commandTimeout: 2000, socketTimeout: 3000, connectTimeout: 5000 } satisfies RedisOptions;

export type ScriptName = keyof typeof scripts;

export interface ConnectionListener {
  /** Connected, and the subscriptions are there again. */
  up(): void;
  down(cause: Error): void;
  message(channel: string, message: string): void;
  warning(message: string): void;
}

/** Our own two connections to one Redis server: one for commands, one for subscriptions. */
export class RedisConnection {
  /** Host and port, for messages; never credentials. */
  readonly server: string;
  readonly checks: StartChecks;
  readonly #commands: Redis;
  readonly #subscriber: Redis;
  readonly #listener: ConnectionListener;
  /** Channels that we subscribed to, and whether the first answer has come. */
  readonly #channels = new Map<string, { readonly answered: Promise<boolean>; settled: boolean }>();
  readonly #answers: AnswerTimeout;
  #lastError: Error | undefined;
  #isUp = false;
  #isCorked = false;
  #closed = false;

  constructor(options: RedisConnectionOptions, listener: ConnectionListener) {
    const open = opener(options);
    this.#listener = listener;
    this.#commands = open();
    this.#subscriber = open();
    const { host, port, path, commandTimeout } = this.#commands.options;
    this.#answers = new AnswerTimeout(commandTimeout ?? defaults.commandTimeout);
    this.server = path ?? `${host ?? 'localhost'}:${port ?? 6379}`;
    this.checks = new StartChecks((message) => listener.warning(message));
    this.checks.watch(this.#commands, this.server);
    this.#watch(this.#commands);
    this.#watch(this.#subscriber);
    this.#subscriber.on('message', (channel, message) => listener.message(channel, message));
    this.#subscriber.on('ready', () => void this.#resubscribe());
  }

  /** Rejects when the first attempt fails; further attempts go on until `close`. */
  async connect(): Promise<void> {
    try {
      await Promise.all([this.#commands.connect(), this.#subscriber.connect()]);
    } catch (error) {
      const cause = this.#lastError ?? error;
      throw unreachable(this.server, cause);
    }
    await this.checks.passed();
  }

  async run(name: ScriptName, keys: readonly string[], args: readonly (string | number)[]): Promise<unknown> {
    if (this.#commands.status !== 'ready') throw unreachable(this.server, this.#lastError);
    if (this.checks.refusal) throw this.checks.refusal;
    const { sha, lua } = scripts[name];
    this.#cork();
    try {
      return await this.#answers.send(this.#commands, new ScriptCommand(sha, keys, args));
    } catch (error) {
      if (!(error instanceof Error && error.message.startsWith('NOSCRIPT'))) throw classify(error, this.server);
    }
    try {
      return await this.#commands.eval(lua, keys.length, ...keys, ...args);
    } catch (error) {
      throw classify(error, this.server);
    }
  }

  /** The commands of one tick leave in one write. */
  #cork(): void {
    if (this.#isCorked) return;
    this.#isCorked = true;
    const { stream } = this.#commands;
    stream.cork();
    process.nextTick(() => {
      this.#isCorked = false;
      stream.uncork();
    });
  }

  listensTo(channel: string): boolean {
    return this.#channels.get(channel)?.settled ?? false;
  }

  /** Whether messages of the channel arrive, or cannot for now: they are hints, so callers go on either way. */
  async subscribe(channel: string): Promise<boolean> {
    let subscription = this.#channels.get(channel);
    if (!subscription) {
      subscription = { answered: this.#sendSubscribe(channel), settled: false };
      this.#channels.set(channel, subscription);
    }
    const arrives = await subscription.answered;
    subscription.settled = true;
    return arrives;
  }

  /** A message that still comes finds nobody, so it does not matter when, or whether, the server knows. */
  unsubscribe(channel: string): void {
    if (this.#channels.delete(channel)) this.#subscriber.unsubscribe(channel).catch(() => undefined);
  }

  close(): void {
    this.#closed = true;
    this.#commands.disconnect();
    this.#subscriber.disconnect();
  }

  #watch(client: Redis): void {
    hearAllErrors(client);
    client.on('error', (error: Error) => this.#noteError(error));
    client.on('ready', () => this.#announce());
    client.on('close', () => this.#announce());
  }

  /** Why we are not connected. What ioredis says of commands that it could not send tells nothing. */
  #noteError(error: Error): void {
    if (!/isn't writeable|Connection is closed/.test(error.message)) this.#lastError = error;
  }

  async #sendSubscribe(...channels: string[]): Promise<boolean> {
    // Else a lazy client would connect by itself; all channels are subscribed to when it is ready.
    if (this.#subscriber.status !== 'ready') return false;
    try {
      await this.#subscriber.subscribe(...channels);
      return true;
    } catch (error) {
      this.#noteError(error as Error);
      this.checks.subscriptionFailed(error as Error, this.server);
      return false;
    }
  }

  async #resubscribe(): Promise<void> {
    if (this.#channels.size === 0) return;
    await this.#sendSubscribe(...this.#channels.keys());
    // What was published in the meantime is lost: everybody who waits has to ask again.
    if (this.#isUp) this.#listener.up();
  }

  #announce(): void {
    const isUp = this.#commands.status === 'ready';
    if (this.#closed || isUp === this.#isUp) return;
    this.#isUp = isUp;
    if (isUp) {
      this.#lastError = undefined;
      this.#listener.up();
    } else {
      this.#listener.down(unreachable(this.server, this.#lastError));
    }
  }
}

function unreachable(server: string, cause: unknown): DriverUnavailableError | LockConfigError {
  if (cause instanceof Error) {
    const error = classify(cause, server);
    if (error instanceof LockConfigError) return error;
    return new DriverUnavailableError(error.message, { cause, sent: false });
  }
  return new DriverUnavailableError(`Redis at ${server} is not connected.`, { sent: false });
}

function opener(options: RedisConnectionOptions): () => Redis {
  if ('client' in options) {
    const { client } = options;
    if (typeof client?.duplicate !== 'function' || client.isCluster) {
      throw new LockConfigError('RedisDriver: `client` must be an ioredis `Redis` instance.');
    }
    refuseKeyPrefix(client.options);
    return () => client.duplicate({ ...defaults, ...enforced }) as Redis;
  }
  refuseKeyPrefix(options);
  if ('url' in options) {
    const { url, ...rest } = options;
    const problem = urlProblem(url);
    if (problem) throw new LockConfigError(`RedisDriver: ${problem}`);
    return () => new Redis(url, { ...defaults, ...rest, ...enforced });
  }
  return () => new Redis({ ...defaults, ...options, ...enforced });
}

function refuseKeyPrefix(options: object): void {
  if ('keyPrefix' in options && options.keyPrefix) {
    throw new LockConfigError('RedisDriver: `keyPrefix` is not supported. Use the `namespace` option of forRoot().');
  }
}
