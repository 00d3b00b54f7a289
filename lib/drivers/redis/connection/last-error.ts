import { DriverUnavailableError, LockConfigError } from '../../../core/errors.js';
import { classify } from '../commands/reply-errors.js';
import { isVague, reasonOf } from './reasons.js';

/** Why a server is not connected, as far as its client told, or the server when it was asked. */
export class LastError {
  readonly #server: string;
  readonly #loginRotates: boolean;
  #reason: Error | undefined;
  /** What a look at the server came to; better than a vague reason. */
  #diagnosis: Error | undefined;

  /** @param loginRotates whether a login that was refused may be accepted later */
  constructor(server: string, loginRotates = false) {
    this.#server = server;
    this.#loginRotates = loginRotates;
  }

  get isVague(): boolean {
    return this.#diagnosis === undefined && isVague(this.#reason);
  }

  note(error: unknown): void {
    const reason = reasonOf(error);
    if (!reason) return;
    this.#reason = reason;
    if (!isVague(reason)) this.#diagnosis = undefined;
  }

  diagnose(text: string | undefined): void {
    if (text !== undefined) this.#diagnosis = new Error(text, { cause: this.#reason });
  }

  forget(): void {
    this.#reason = undefined;
    this.#diagnosis = undefined;
  }

  /** What a caller is told whose command was not sent. */
  unreachable(): DriverUnavailableError | LockConfigError {
    const cause = this.#diagnosis ?? this.#reason;
    if (!cause) {
      const what = 'the connection broke, and there is no new one yet.';
      return new DriverUnavailableError(`Redis at ${this.#server}: ${what}`, { sent: false });
    }
    const error = this.classify(cause);
    if (error instanceof LockConfigError) return error;
    return new DriverUnavailableError(error.message, { cause, sent: false });
  }

  classify(error: unknown): DriverUnavailableError | LockConfigError {
    return classify(error, this.#server, this.#loginRotates);
  }
}
