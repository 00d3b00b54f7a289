import { DriverUnavailableError } from '../../core/errors.js';
import type { ScriptCall } from '../redis/commands/script-call.js';
import type { RedisConnectionOptions } from '../redis/connection/clients.js';
import { RedisConnection } from '../redis/connection/connection.js';

export interface ServerListener {
  /** The server became usable, or unusable, or is down. */
  changed(server: Server): void;
  message(server: Server, channel: string, message: string): void;
  warning(message: string): void;
}

/** One server of a set. It is used only while its identity is known, so that no server has two votes. */
export class Server {
  readonly connection: RedisConnection;
  /** The bit of this server in sets of servers. */
  readonly bit: number;
  /** True: the server did not answer in time when it was asked last. */
  isLate = false;
  /** The reason why the server cannot be reached. Undefined while it can be reached, or is being connected again. */
  outage: Error | undefined = new Error('not connected yet');
  readonly #listener: ServerListener;
  #identifying: Promise<void> | undefined;
  #identity: string | undefined;
  #failure: Error | undefined;

  constructor(index: number, options: RedisConnectionOptions, listener: ServerListener) {
    this.bit = 1 << index;
    this.#listener = listener;
    this.connection = new RedisConnection(options, {
      up: () => {
        this.outage = undefined;
        void this.#identify().catch(() => undefined);
      },
      lost: () => {
        this.#identifying = undefined;
        this.#know(undefined);
      },
      down: (cause) => {
        this.outage = cause;
        this.#listener.changed(this);
      },
      message: (channel, message) => listener.message(this, channel, message),
      warning: (message) => listener.warning(message),
    });
  }

  /** True: the server is asked last, because it is down or did not answer in time. */
  get isAside(): boolean {
    return this.isLate || this.#identity === undefined;
  }

  get name(): string {
    return this.connection.server;
  }

  /** The id of this run of the server; undefined while the server cannot be used. */
  get identity(): string | undefined {
    return this.#identity;
  }

  /** Resolves when the server can be used. Rejects when the first attempt fails; further attempts follow. */
  async connect(): Promise<void> {
    await this.connection.connect();
    await this.#identify();
  }

  send(call: ScriptCall): Promise<unknown> {
    // Without a connection at all, its own error has the reason.
    if (this.#identity !== undefined || !(this.#failure ?? this.#identifying)) return this.connection.send(call);
    const why = `Redis at ${this.name} is not connected yet.`;
    return Promise.reject(this.#failure ?? new DriverUnavailableError(why, { sent: false }));
  }

  #identify(): Promise<void> {
    this.#identifying ??= this.connection.identity().then(
      (identity) => this.#know(identity),
      (error: Error) => {
        this.#identifying = undefined;
        this.#failure = error;
        throw error;
      },
    );
    return this.#identifying;
  }

  #know(identity: string | undefined): void {
    this.#failure = undefined;
    if (identity === this.#identity) return;
    this.#identity = identity;
    this.#listener.changed(this);
  }
}
