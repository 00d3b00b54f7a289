import { Metadata } from '@grpc/grpc-js';
import type { Clock } from '../../../core/clock.js';
import { DriverUnavailableError } from '../../../core/errors.js';
import type { Target } from '../options.js';
import { classify, isAuthOff } from './call-errors.js';
import type { Channel } from './channel.js';
import { supplied } from './supplied.js';

/**
 * The metadata of each request, with the token of the user. A token is requested when it is first needed, and again after
 * the server has refused it.
 */
export class AuthTokens {
  readonly #options: Target;
  readonly #clock: Clock;
  readonly #warn: (message: string) => void;
  #metadata: Promise<Metadata> | undefined;
  #hasWarned = false;

  constructor(options: Target, clock: Clock, warn: (message: string) => void) {
    this.#options = options;
    this.#clock = clock;
    this.#warn = warn;
  }

  /** @throws LockConfigError, or DriverUnavailableError whose `sent` is false: the request itself was not sent */
  metadata(channel: Channel, timeout: number): Promise<Metadata> {
    if (!this.#metadata) {
      const asked = this.#authenticate(channel, timeout);
      this.#metadata = asked;
      asked.catch(() => {
        if (this.#metadata === asked) this.#metadata = undefined;
      });
    }
    return this.#metadata;
  }

  /** The server refused the token, so the next request gets a new one. A newer token is kept. */
  async forget(refused: Metadata): Promise<void> {
    const current = this.#metadata;
    if (current && (await current.catch(() => undefined)) === refused && this.#metadata === current) {
      this.#metadata = undefined;
    }
  }

  /** True if the next request would have this metadata. */
  async isCurrent(metadata: Metadata): Promise<boolean> {
    return (await this.#metadata?.catch(() => undefined)) === metadata;
  }

  async #authenticate(channel: Channel, timeout: number): Promise<Metadata> {
    const metadata = new Metadata();
    // A member that knows no leader refuses at once. Without this it would keep the request.
    metadata.set('hasleader', 'true');
    const { auth, canChange } = this.#options;
    if (!auth) return metadata;
    const until = this.#clock.now() + timeout;
    try {
      const { username: name, password } = await supplied('auth', this.#clock, auth(), timeout);
      const remaining = Math.max(1, until - this.#clock.now());
      const { token } = await channel.call('authenticate', { name, password }, metadata, remaining);
      metadata.set('token', token);
      return metadata;
    } catch (error) {
      if (isAuthOff(error)) return this.#unneeded(metadata);
      const failure = classify(error, channel.address, { hasAuth: true, canChange });
      if ('code' in failure && failure.code === 'LOCK_CONFIG') throw failure;
      throw new DriverUnavailableError(failure.message, { sent: false, cause: error });
    }
  }

  /** `auth` may be set before the cluster asks for users. */
  #unneeded(metadata: Metadata): Metadata {
    if (!this.#hasWarned)
      this.#warn('etcd asks for no user name and password: `auth` is used once it is enabled there.');
    this.#hasWarned = true;
    return metadata;
  }
}
