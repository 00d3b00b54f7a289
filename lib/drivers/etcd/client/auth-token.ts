import { Metadata } from '@grpc/grpc-js';
import { DriverUnavailableError } from '../../../core/errors.js';
import { supplierFailure, type Target } from '../options.js';
import { classify, isAuthOff } from './call-errors.js';
import type { Channel } from './channel.js';
import { within } from './within.js';

/** What goes with every request: the token of the user, asked for when it is first needed, and again once it ended. */
export class AuthTokens {
  readonly #options: Target;
  readonly #warn: (message: string) => void;
  #metadata: Promise<Metadata> | undefined;
  #hasWarned = false;

  constructor(options: Target, warn: (message: string) => void) {
    this.#options = options;
    this.#warn = warn;
  }

  /** @throws DriverUnavailableError whose `sent` is false, because the request itself was not sent, or LockConfigError */
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

  /** The server did not take it, so the next request brings a new one; another one may have been got meanwhile. */
  async forget(refused: Metadata): Promise<void> {
    const current = this.#metadata;
    if (current && (await current.catch(() => undefined)) === refused && this.#metadata === current) {
      this.#metadata = undefined;
    }
  }

  /** Whether a request of now would bring this. */
  async isCurrent(metadata: Metadata): Promise<boolean> {
    return (await this.#metadata?.catch(() => undefined)) === metadata;
  }

  async #authenticate(channel: Channel, timeout: number): Promise<Metadata> {
    const metadata = new Metadata();
    // A member without a leader refuses at once, instead of letting us wait.
    metadata.set('hasleader', 'true');
    const { auth, canChange } = this.#options;
    if (!auth) return metadata;
    const until = performance.now() + timeout;
    const late = (): Error => new Error('it gave no value in time');
    try {
      const { username: name, password } = await within(auth(), timeout, late).catch((error: unknown) => {
        throw supplierFailure('auth', error);
      });
      const remaining = Math.max(1, until - performance.now());
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

  /** Users may be set up before they are wanted. */
  #unneeded(metadata: Metadata): Metadata {
    if (!this.#hasWarned)
      this.#warn('etcd asks for no user name and password: `auth` is used once it is enabled there.');
    this.#hasWarned = true;
    return metadata;
  }
}
