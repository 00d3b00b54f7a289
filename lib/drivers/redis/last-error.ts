import { DriverUnavailableError, LockConfigError } from '../../core/errors.js';
import { classify } from './reply-errors.js';

const TELLS_NOTHING = /isn't writeable|Connection is closed|None of startup nodes|max retries per request/;

/** Why a server is not connected, as far as its client told. */
export class LastError {
  readonly #server: string;
  #error: Error | undefined;

  constructor(server: string) {
    this.#server = server;
  }

  /** What ioredis says of commands that it could not send, or whose answer did not come, tells nothing. */
  note(error: Error): void {
    if (!TELLS_NOTHING.test(error.message)) this.#error = error;
  }

  forget(): void {
    this.#error = undefined;
  }

  /** What a caller is told whose command was not sent. */
  unreachable(fallback?: unknown): DriverUnavailableError | LockConfigError {
    const cause = this.#error ?? fallback;
    if (!(cause instanceof Error)) {
      return new DriverUnavailableError(`Redis at ${this.#server} is not connected.`, { sent: false });
    }
    const error = classify(cause, this.#server);
    if (error instanceof LockConfigError) return error;
    return new DriverUnavailableError(error.message, { cause, sent: false });
  }
}
