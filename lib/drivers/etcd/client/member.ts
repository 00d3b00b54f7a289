import type { Clock } from '../../../core/clock.js';
import { DriverUnavailableError, LockConfigError } from '../../../core/errors.js';
import type { Target } from '../options.js';
import { type Address, isName, targetOf, textOf } from './addresses.js';
import { Channel } from './channel.js';
import { supplied } from './supplied.js';

/** Milliseconds until a member is tried again after a failed connection: at first, and at most. */
const FIRST_PAUSE = 50;
const LONGEST_PAUSE = 1000;

/**
 * One member of the cluster. It is connected to when it is used, and again after a loss. Each connection is a channel of
 * its own: it has the credentials of that moment, and nothing that an earlier connection has left behind.
 */
export class Member {
  readonly address: string;
  readonly #options: Target;
  readonly #clock: Clock;
  readonly #target: string;
  readonly #name: { readonly host: string; readonly authority: string } | undefined;
  #channel: Channel | undefined;
  #opening: Promise<Channel> | undefined;
  #failures = 0;
  #retryAt = 0;
  #closed = false;

  constructor(address: Address, options: Target, clock: Clock) {
    this.address = textOf(address);
    this.#options = options;
    this.#clock = clock;
    this.#target = targetOf(address);
    const { name, port } = address;
    // Certificates and proxies know the name, not the address.
    this.#name = isName(address) ? { host: name, authority: `${name}:${port}` } : undefined;
  }

  /**
   * A channel that is connected, is being connected, or failed a moment ago.
   *
   * @throws LockConfigError, or DriverUnavailableError when there are no credentials after `timeout` milliseconds
   */
  async channel(timeout: number): Promise<Channel> {
    const channel = this.#channel;
    if (channel && !channel.isConnected && (channel.wasConnected || this.#isDue(channel))) this.renew(channel);
    if (this.#channel) return this.#channel;
    this.#opening ??= this.#open().finally(() => (this.#opening = undefined));
    try {
      return await supplied('tls', this.#clock, this.#opening, timeout);
    } catch (error) {
      if (error instanceof LockConfigError) throw error;
      throw new DriverUnavailableError((error as Error).message, { sent: false, cause: error });
    }
  }

  /** The next request goes over another connection. Requests that are under way on this one are not aborted. */
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
    const channel = new Channel(this.address, this.#target, this.#name, credentials, this.#clock);
    if (this.#closed) channel.close();
    else this.#channel = channel;
    return channel;
  }

  /** True once the pause after a failed connection is over. */
  #isDue(channel: Channel): boolean {
    if (!channel.hasFailed) return false;
    const now = this.#clock.now();
    if (this.#retryAt === 0) {
      this.#retryAt = now + Math.min(FIRST_PAUSE * 2 ** this.#failures++, LONGEST_PAUSE);
      return false;
    }
    if (now < this.#retryAt) return false;
    this.#retryAt = 0;
    return true;
  }
}
