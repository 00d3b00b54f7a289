import { randomUUID } from 'node:crypto';
import type { Redis } from 'ioredis';
import type { Clock, Random, Timer } from '../../../core/clock.js';
import { connect } from './clients.js';
import { hearAllErrors, readBeforeTimeout } from './ioredis-sockets.js';
import { retryDelay } from './reconnector.js';

/** Connections in a row, in about three seconds, that led to another server than commands: worth a warning. */
const TOO_OFTEN = 6;

export interface SubscriberOptions {
  readonly clock: Clock;
  readonly random: Random;
  /** A connection that is not open yet, to a server that gets all published messages. Undefined while none is known. */
  readonly open: () => Redis | undefined;
  /** Resolves with true when commands go to a server that sees this connection, the only subscriber to `channel`. */
  readonly isInPlace: (client: Redis, channel: string) => Promise<boolean>;
  /** Many connections in a row were not in place. */
  readonly strayed: () => void;
  /** Milliseconds. */
  readonly checkEvery: number;
  readonly message: (channel: string, message: string) => void;
  /** Subscribed again: messages of the meantime are lost. */
  readonly resubscribed: () => void;
  /** The server answered a subscription with an error, or not at all. */
  readonly refused: (error: Error) => void;
}

/**
 * The channels that the driver listens to, over a connection of its own.
 *
 * 1. A connection that ends is opened again, perhaps to another server.
 * 2. A connection without messages looks like one whose other end is gone. So from time to time the subscriber repeats a
 *    subscription; where the answer does not come, the client replaces the connection.
 * 3. The connection belongs to the server that commands go to. The same name may have led to another server before:
 *    after a planned fail-over the old master goes on as a replica and closes nothing. The subscriber asks if scripts see
 *    its subscription: after each new connection of its own, after each new connection for commands, and with each
 *    check of 2. Where scripts do not see it, the subscriber gives the connection up for another one.
 */
export class Subscriber {
  readonly #options: SubscriberOptions;
  /** The channels that were asked for. `settled`: the first answer has come. */
  readonly #channels = new Map<string, { readonly answered: Promise<boolean>; settled: boolean }>();
  #client: Redis | undefined;
  /** A channel without other subscribers. */
  #presence: string | undefined;
  /** The connection that has subscribed to it. */
  #present: Redis | undefined;
  #timer: Timer | undefined;
  #attempts = 0;
  /** Connections in a row that were not in place. */
  #strays = 0;
  #closed = false;

  constructor(options: SubscriberOptions) {
    this.#options = options;
  }

  /** Rejects when the first attempt fails. More attempts follow until `close`. */
  async connect(): Promise<void> {
    this.#checkLater();
    await this.#open();
  }

  listensTo(channel: string): boolean {
    return this.#channels.get(channel)?.settled ?? false;
  }

  /**
   * Resolves with true when messages of the channel arrive. Messages are hints, so callers go on either way.
   *
   * @param isShared others may also subscribe to the channel
   */
  async subscribe(channel: string, isShared: boolean): Promise<boolean> {
    let subscription = this.#channels.get(channel);
    if (!subscription) {
      this.#presence ??= isShared ? `${channel}:${randomUUID()}` : channel;
      subscription = { answered: this.#add(channel), settled: false };
      this.#channels.set(channel, subscription);
    }
    const arrives = await subscription.answered;
    subscription.settled = true;
    return arrives;
  }

  /** A message that still comes finds nobody, so the answer of the server does not matter. */
  unsubscribe(channel: string): void {
    if (this.#channels.delete(channel)) this.#client?.unsubscribe(channel).catch(() => undefined);
  }

  /** Call it when commands may go to another server than before. Resolves with true when messages arrive. */
  async followCommands(): Promise<boolean> {
    const client = this.#present;
    if (!client) return false;
    const isInPlace = await this.#options.isInPlace(client, this.#presence!);
    if (client !== this.#present) return false;
    if (isInPlace) {
      this.#strays = 0;
      return true;
    }
    if (++this.#strays === TOO_OFTEN) this.#options.strayed();
    this.#present = undefined;
    client.disconnect();
    return false;
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
    this.#client?.disconnect();
  }

  async #open(): Promise<void> {
    const client = this.#options.open();
    this.#client = client;
    if (!client) return this.#reopen();
    hearAllErrors(client);
    readBeforeTimeout(client, this.#options.clock);
    client.on('message', this.#options.message);
    client.on('ready', () => {
      this.#attempts = 0;
      void this.#resubscribe();
    });
    client.on('close', () => (this.#present = undefined));
    client.once('end', () => this.#reopen());
    await connect(client);
  }

  #reopen(): void {
    if (this.#closed) return;
    const open = (): void => {
      if (!this.#closed) this.#open().catch(() => undefined);
    };
    const { clock, random } = this.#options;
    clock.after(retryDelay(this.#strays + this.#attempts++, random), open);
  }

  async #resubscribe(): Promise<void> {
    if (this.#channels.size === 0) return;
    if ((await this.#send(...this.#channels.keys())) && (await this.followCommands())) this.#options.resubscribed();
  }

  async #add(channel: string): Promise<boolean> {
    const arrives = await this.#send(channel);
    if (arrives) void this.followCommands();
    return arrives;
  }

  #checkLater(): void {
    const { clock, checkEvery } = this.#options;
    this.#timer = clock.after(checkEvery, () => {
      this.#checkLater();
      void this.#check();
    });
  }

  async #check(): Promise<void> {
    if (this.#presence !== undefined && (await this.#send())) await this.followCommands();
  }

  async #send(...channels: string[]): Promise<boolean> {
    const client = this.#client;
    // A lazy client would connect by itself. All channels are subscribed to when it is ready.
    if (client?.status !== 'ready') return false;
    try {
      await client.subscribe(this.#presence!, ...channels);
      this.#present = client;
      return true;
    } catch (error) {
      this.#options.refused(error as Error);
      return false;
    }
  }
}
