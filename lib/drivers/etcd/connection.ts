import { backoff } from '../../core/backoff.js';
import { DriverUnavailableError, LockConfigError } from '../../core/errors.js';
import { classify, TokenRefusedError } from './call-errors.js';
import { Member, type Stream } from './member.js';
import type { Calls, Streams } from './messages.js';
import type { Target } from './options.js';
import { Tokens } from './tokens.js';

export interface ConnectionListener {
  up(): void;
  down(cause: Error): void;
  /** Requests go to another member from now on, and so must streams. */
  moved(): void;
}

/** Milliseconds that a call which is no lease's own may take. */
export const CALL_TIMEOUT = 1500;

/**
 * All requests go to one member at a time; to the next one as soon as it fails or does not answer in time, so that a
 * stopped member costs one timeout. A request is sent to a second member only when the first has not executed it.
 */
export class EtcdConnection {
  readonly #members: readonly Member[];
  readonly #tokens: Tokens;
  readonly #listener: ConnectionListener;
  #current = 0;
  /** Calls that failed since one succeeded. */
  #failures = 0;
  #isUp = false;
  #isProbing = false;
  #closed = false;

  constructor({ addresses, credentials, auth }: Target, listener: ConnectionListener) {
    // Not all instances should begin with the same member.
    const first = Math.floor(Math.random() * addresses.length);
    const order = [...addresses.slice(first), ...addresses.slice(0, first)];
    this.#members = order.map((address) => new Member(address, credentials));
    this.#tokens = new Tokens(auth);
    this.#listener = listener;
  }

  get isClosed(): boolean {
    return this.#closed;
  }

  get member(): Member {
    return this.#members[this.#current]!;
  }

  /** Rejects when no member answers; further attempts go on until `close`. */
  async connect(): Promise<void> {
    try {
      await this.call('status', {}, CALL_TIMEOUT);
    } catch (error) {
      void this.#probe(error as Error);
      throw error;
    }
  }

  /**
   * @throws DriverUnavailableError, LockConfigError, or LeaseGoneError
   */
  async call<C extends keyof Calls>(
    name: C,
    request: Calls[C]['request'],
    timeout: number,
  ): Promise<Calls[C]['response']> {
    const deadline = performance.now() + timeout;
    let failure: Error | undefined;
    for (let tried = 0; tried < this.#members.length; tried++) {
      const { member } = this;
      try {
        const answer = await this.#ask(member, name, request, deadline);
        this.#succeeded();
        return answer;
      } catch (error) {
        failure = error as Error;
        const isAnswer = !(failure instanceof DriverUnavailableError) && !isUnconnected(failure);
        if (isAnswer || this.#closed) throw failure;
        this.failed(member, failure);
        if (failure instanceof DriverUnavailableError && failure.sent) throw failure;
      }
    }
    throw failure!;
  }

  /** A stream to the member that is used now. Its `error` means nothing to callers but that it ended. */
  async stream<S extends keyof Streams>(name: S): Promise<{ member: Member; stream: Stream<S> }> {
    this.#assertOpen();
    const { member } = this;
    const metadata = await this.#tokens.metadata(member, CALL_TIMEOUT);
    this.#assertOpen();
    return { member, stream: member.stream(name, metadata) };
  }

  /** Leaves a member that did not answer in time, or whose connection was lost. */
  failed(member: Member, cause: Error): void {
    if (this.#closed) return;
    this.#failures++;
    if (this.#members.length > 1 && member === this.member) {
      this.#current = (this.#current + 1) % this.#members.length;
      this.#listener.moved();
    }
    if (this.#failures >= this.#members.length) void this.#probe(cause);
  }

  /** The server did not take the token: the next request brings a new one. */
  forgetToken(): void {
    this.#tokens.forget();
  }

  /** Whether a member answers that knows a leader. */
  check(): Promise<boolean> {
    return this.call('status', {}, CALL_TIMEOUT).then(
      () => true,
      () => false,
    );
  }

  close(): void {
    this.#closed = true;
    for (const member of this.#members) member.close();
  }

  async #ask<C extends keyof Calls>(
    member: Member,
    name: C,
    request: Calls[C]['request'],
    deadline: number,
  ): Promise<Calls[C]['response']> {
    const remaining = (): number => Math.max(1, deadline - performance.now());
    for (let isRepeated = false; ; isRepeated = true) {
      this.#assertOpen();
      // A member that does not even accept a connection must leave time for the others.
      const patience = this.#members.length === 1 ? remaining() : Math.max(200, remaining() / 2);
      if (!(await member.settled(patience))) {
        throw new DriverUnavailableError(`etcd at ${member.address} accepts no connection.`, { sent: false });
      }
      const metadata = await this.#tokens.metadata(member, remaining());
      this.#assertOpen();
      try {
        return await member.call(name, request, metadata, remaining());
      } catch (error) {
        const failure = classify(error, member.address);
        if (!(failure instanceof TokenRefusedError)) throw failure;
        this.forgetToken();
        if (isRepeated) throw new DriverUnavailableError(failure.message, { sent: false, cause: error });
      }
    }
  }

  #succeeded(): void {
    this.#failures = 0;
    if (this.#isUp || this.#closed) return;
    this.#isUp = true;
    this.#listener.up();
  }

  /** As many calls as there are members have failed: is nobody there, or was only the time too short? */
  async #probe(cause: Error): Promise<void> {
    if (this.#isProbing) return;
    this.#isProbing = true;
    for (let attempt = 0; !this.#closed && !(await this.check()); attempt++) {
      if (this.#isUp && !this.#closed) {
        this.#isUp = false;
        this.#listener.down(cause);
      }
      const delay = backoff(attempt, 50, 1000, Math.random);
      await new Promise((resolve) => setTimeout(resolve, delay).unref());
    }
    this.#isProbing = false;
  }

  #assertOpen(): void {
    if (this.#closed) throw new DriverUnavailableError('The etcd driver is closed.', { sent: false });
  }
}

/** Wrong TLS is no answer of the cluster: another member may have a better certificate. */
function isUnconnected(failure: Error): boolean {
  return failure instanceof LockConfigError && /: No connection established/.test(failure.message);
}
