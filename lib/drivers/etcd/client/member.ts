import type { Target } from '../options.js';
import { type Address, isName, targetOf, textOf } from './addresses.js';
import { Channel } from './channel.js';

/** Milliseconds until a member that could not be connected to is tried again, at first and at most. */
const FIRST_PAUSE = 50;
const LONGEST_PAUSE = 1000;

/**
 * One member of the cluster. It is connected to when it is used, and again after a loss, each time by a channel of its
 * own: with the credentials of that moment, and without anything that a former connection has left behind.
 */
export class Member {
  readonly address: string;
  readonly #options: Target;
  readonly #target: string;
  readonly #name: { readonly host: string; readonly authority: string } | undefined;
  #channel: Channel | undefined;
  #opening: Promise<Channel> | undefined;
  #failures = 0;
  #retryAt = 0;
  #closed = false;

  constructor(address: Address, options: Target) {
    this.address = textOf(address);
    this.#options = options;
    this.#target = targetOf(address);
    const { name, port } = address;
    // Certificates and proxies know the name, not the address.
    this.#name = isName(address) ? { host: name, authority: `${name}:${port}` } : undefined;
  }

  /** Connected, connecting, or failed a moment ago. Rejects when the credentials cannot be had. */
  channel(): Promise<Channel> {
    const channel = this.#channel;
    if (channel && !channel.isConnected && (channel.wasConnected || this.#isDue(channel))) this.renew(channel);
    if (this.#channel) return Promise.resolve(this.#channel);
    this.#opening ??= this.#open().finally(() => (this.#opening = undefined));
    return this.#opening;
  }

  /** The next request goes over another connection; what is under way on this one has its time. */
  renew(channel: Channel): void {
    if (this.#channel !== channel) return;
    this.#channel = undefined;
    channel.close();
  }

  close(): void {
    this.#closed = true;
    this.#channel?.close();
  }

  async #open(): Promise<Channel> {
    const credentials = await this.#options.credentials();
    const channel = new Channel(this.address, this.#target, this.#name, credentials);
    if (this.#closed) channel.close();
    else this.#channel = channel;
    return channel;
  }

  /** Whether a channel that could not connect has been left alone for long enough. */
  #isDue(channel: Channel): boolean {
    if (!channel.hasFailed) return false;
    const now = performance.now();
    if (this.#retryAt === 0) {
      this.#retryAt = now + Math.min(FIRST_PAUSE * 2 ** this.#failures++, LONGEST_PAUSE);
      return false;
    }
    if (now < this.#retryAt) return false;
    this.#retryAt = 0;
    return true;
  }
}
