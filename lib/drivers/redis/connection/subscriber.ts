import { randomUUID } from 'node:crypto';
import type { Redis } from 'ioredis';
import { detached } from '../../../core/detached.js';
import { connect } from './clients.js';
import { retryDelay } from './reconnector.js';
import { hearAllErrors } from './socket-errors.js';
import { readBeforeTimeout } from './socket-timeout.js';

/** So many connections in a row, in about three seconds, led to another server than commands go to: worth telling. */
const TOO_OFTEN = 6;

export interface SubscriberOptions {
  /** A connection that is not open yet, to a server that hears what is published; none while none is known. */
  readonly open: () => Redis | undefined;
  /** Whether commands go to a server that knows of this connection, which alone subscribes to `channel`. */
  readonly isInPlace: (client: Redis, channel: string) => Promise<boolean>;
  /** It was not, again and again. */
  readonly strayed: () => void;
  /** Milliseconds. */
  readonly checkEvery: number;
  readonly message: (channel: string, message: string) => void;
  /** Subscribed again: what was published in the meantime is lost. */
  readonly resubscribed: () => void;
  /** The server answered a subscription with an error, or not at all. */
  readonly refused: (error: Error) => void;
}

/**
 * The channels that we listen to, over a connection of its own. One that ends is opened anew, maybe to another server.
 * A connection on which nothing is said looks like one whose other end is gone, so from time to time a channel is
 * subscribed to again: when that is not answered, the client replaces the connection.
 *
 * It belongs to the server that commands go to, which need not be where the same name led to a while ago: after a
 * planned fail-over the server of before goes on as a replica and closes nothing. Whenever the connection, or that for
 * commands, is a new one, and with each of those checks, it is asked whether scripts see the subscription; else the
 * connection is given up for another one.
 */
export class Subscriber {
  readonly #options: SubscriberOptions;
  /** Channels that we subscribed to, and whether the first answer has come. */
  readonly #channels = new Map<string, { readonly answered: Promise<boolean>; settled: boolean }>();
  #client: Redis | undefined;
  /** A channel that nobody else subscribes to. */
  #presence: string | undefined;
  /** The connection that has subscribed to it. */
  #present: Redis | undefined;
  #timer: NodeJS.Timeout | undefined;
  #attempts = 0;
  /** Connections in a row that were not in place. */
  #strays = 0;
  #closed = false;

  constructor(options: SubscriberOptions) {
    this.#options = options;
  }

  /** Rejects when the first attempt fails; further attempts go on until `close`. */
  async connect(): Promise<void> {
    this.#timer = detached(() => setInterval(() => void this.#check(), this.#options.checkEvery).unref());
    await this.#open();
  }

  listensTo(channel: string): boolean {
    return this.#channels.get(channel)?.settled ?? false;
  }

  /**
   * Whether messages of the channel arrive, or cannot for now: they are hints, so callers go on either way.
   *
   * @param isShared others may subscribe to it, too
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

  /** A message that still comes finds nobody, so it does not matter when, or whether, the server knows. */
  unsubscribe(channel: string): void {
    if (this.#channels.delete(channel)) this.#client?.unsubscribe(channel).catch(() => undefined);
  }

  /** To be called when commands may go to another server than before. Resolves with whether messages arrive. */
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
    clearInterval(this.#timer);
    this.#client?.disconnect();
  }

  async #open(): Promise<void> {
    const client = this.#options.open();
    this.#client = client;
    if (!client) return this.#reopen();
    hearAllErrors(client);
    readBeforeTimeout(client);
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
    detached(() => setTimeout(open, retryDelay(this.#strays + this.#attempts++)).unref());
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

  async #check(): Promise<void> {
    if (this.#presence !== undefined && (await this.#send())) await this.followCommands();
  }

  async #send(...channels: string[]): Promise<boolean> {
    const client = this.#client;
    // Else a lazy client would connect by itself; all channels are subscribed to when it is ready.
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
