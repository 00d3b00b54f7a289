import { DriverUnavailableError, LockConfigError } from '../../../core/errors.js';
import { classify } from '../commands/reply-errors.js';
import type { ConnectionPlan } from './connection-options.js';
import { isVague, reasonOf } from './reasons.js';

/** Milliseconds between two probes of a server that goes on failing. */
const PROBE_EVERY = 10_000;

/**
 * Why a server is not connected: the last error of its client or of a socket. While that error only says how the
 * connection ended, `diagnose` asks the server's port.
 */
export class LastError {
  /** Milliseconds that a probe takes at most. */
  readonly probeTime: number;
  readonly #server: string;
  readonly #plan: ConnectionPlan;
  #reason: Error | undefined;
  /** What the port answered; better than a vague reason. */
  #diagnosis: Error | undefined;
  #probedAt = -Infinity;
  #probing: Promise<void> | undefined;

  constructor(server: string, plan: ConnectionPlan) {
    this.#server = server;
    this.#plan = plan;
    this.probeTime = Math.min(1000, plan.commandTimeout / 2);
    plan.sockets.hear((error) => this.note(error));
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

  forget(): void {
    this.#reason = undefined;
    this.#diagnosis = undefined;
  }

  /** Probes the port where the reason is vague: one probe at a time, and not more often than every ten seconds. */
  diagnose(): Promise<void> {
    this.#probing ??= this.#probe().finally(() => (this.#probing = undefined));
    return this.#probing;
  }

  /** The error for a call that was not sent. */
  unreachable(): DriverUnavailableError | LockConfigError {
    const cause = this.#diagnosis ?? this.#reason;
    if (!cause) {
      const what = 'the connection broke, and there is no new one yet.';
      return new DriverUnavailableError(`Redis at ${this.#server}: ${what}`, { sent: false });
    }
    const error = classify(cause, this.#server, this.#plan.loginRotates);
    if (error instanceof LockConfigError) return error;
    return new DriverUnavailableError(error.message, { cause, sent: false });
  }

  async #probe(): Promise<void> {
    const now = this.#plan.clock.now();
    if (!this.isVague || now - this.#probedAt < PROBE_EVERY) return;
    this.#probedAt = now;
    const found = await this.#plan.sockets.probe(this.probeTime);
    if (found !== undefined) this.#diagnosis = new Error(found, { cause: this.#reason });
  }
}
