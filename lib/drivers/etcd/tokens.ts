import { Metadata } from '@grpc/grpc-js';
import { DriverUnavailableError, LockConfigError } from '../../core/errors.js';
import { classify } from './call-errors.js';
import type { Member } from './member.js';
import type { Target } from './options.js';

/** What goes with every request: the token of the user, asked for when it is first needed, and again once it ended. */
export class Tokens {
  readonly #auth: Target['auth'];
  #metadata: Promise<Metadata> | undefined;

  constructor(auth: Target['auth']) {
    this.#auth = auth;
  }

  /** @throws DriverUnavailableError whose `sent` is false, because the request itself was not sent, or LockConfigError */
  metadata(member: Member, timeout: number): Promise<Metadata> {
    this.#metadata ??= this.#authenticate(member, timeout).catch((error: unknown) => {
      this.#metadata = undefined;
      throw error;
    });
    return this.#metadata;
  }

  forget(): void {
    this.#metadata = undefined;
  }

  async #authenticate(member: Member, timeout: number): Promise<Metadata> {
    const metadata = new Metadata();
    // A member without a leader refuses at once, instead of letting us wait.
    metadata.set('hasleader', 'true');
    if (!this.#auth) return metadata;
    const { username: name, password } = this.#auth;
    try {
      const { token } = await member.call('authenticate', { name, password }, metadata, timeout);
      metadata.set('token', token);
      return metadata;
    } catch (error) {
      const failure = classify(error, member.address);
      if (failure instanceof LockConfigError) throw failure;
      throw new DriverUnavailableError(failure.message, { sent: false, cause: error });
    }
  }
}
