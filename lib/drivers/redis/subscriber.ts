import type { Redis } from 'ioredis';
import { detached } from '../../core/call-chain.js';
import { connect, retryDelay } from './clients.js';
import { hearAllErrors } from './socket-errors.js';
import { readBeforeTimeout } from './socket-timeout.js';

export interface SubscriberOptions {
  /** A connection that is not open yet, to a server that hears what is published; none while none is known. */
  readonly open: () => Redis | undefined;
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
 */
export class Subscriber {
  readonly #options: SubscriberOptions;
  /** Channels that we subscribed to, and whether the first answer has come. */
  readonly #channels = new Map<string, { readonly answered: Promise<boolean>; settled: boolean }>();
  #client: Redis | undefined;
  #timer: NodeJS.Timeout | undefined;
  #attempts = 0;
  #closed = false;

  constructor(options: SubscriberOptions) {
    this.#options = options;
  }

  /** Rejects when the first attempt fails; further attempts go on until `close`. */
  async connect(): Promise<void> {
    this.#timer = detached(() => setInterval(() => this.#check(), this.#options.checkEvery).unref());
    await this.#open();
  }

  listensTo(channel: string): boolean {
    return this.#channels.get(channel)?.settled ?? false;
  }

  /** Whether messages of the channel arrive, or cannot for now: they are hints, so callers go on either way. */
  async subscribe(channel: string): Promise<boolean> {
    let subscription = this.#channels.get(channel);
    if (!subscription) {
      subscription = { answered: this.#send(channel), settled: false };
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
    client.once('end', () => this.#reopen());
    await connect(client);
  }

  #reopen(): void {
    if (this.#closed) return;
    const open = (): void => {
      if (!this.#closed) this.#open().catch(() => undefined);
    };
    detached(() => setTimeout(open, retryDelay(this.#attempts++)).unref());
  }

  async #resubscribe(): Promise<void> {
    if (this.#channels.size === 0) return;
    await this.#send(...this.#channels.keys());
    this.#options.resubscribed();
  }

  #check(): void {
    const [channel] = this.#channels.keys();
    if (channel !== undefined) void this.#send(channel);
  }

  async #send(...channels: string[]): Promise<boolean> {
    // Else a lazy client would connect by itself; all channels are subscribed to when it is ready.
    if (this.#client?.status !== 'ready') return false;
    try {
      await this.#client.subscribe(...channels);
      return true;
    } catch (error) {
      this.#options.refused(error as Error);
      return false;
    }
  }
}
