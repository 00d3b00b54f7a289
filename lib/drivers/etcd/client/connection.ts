import type { Metadata } from '@grpc/grpc-js';
import { DriverUnavailableError, LockConfigError } from '../../../core/errors.js';
import { supplierFailure, type Target } from '../options.js';
import { AuthTokens } from './auth-token.js';
import { classify, isUnconnected, TokenRefusedError } from './call-errors.js';
import type { Channel, Stream } from './channel.js';
import type { Member } from './member.js';
import { Members } from './members.js';
import type { Calls, Streams } from './messages.js';
import { Reachability, type ReachabilityListener } from './reachability.js';
import { within } from './within.js';

export interface ConnectionListener extends ReachabilityListener {
  /** Requests go over another connection from now on, and so must streams. */
  moved(): void;
  warning(message: string): void;
}

/** A stream, and what it was opened with. */
export interface Opened<S extends keyof Streams> {
  readonly member: Member;
  readonly channel: Channel;
  readonly metadata: Metadata;
  readonly stream: Stream<S>;
}

/** Milliseconds in which another member could not answer any more. */
const SHORTEST_TRY = 20;

/** Milliseconds that a call which is no lease's own may take. */
export const CALL_TIMEOUT = 1500;

/**
 * All requests go to one member at a time; to the next one as soon as it fails or does not answer in time, so that a
 * stopped member costs one timeout. A request is sent to a second member only when the first has not executed it.
 */
export class EtcdConnection {
  readonly #members: Members;
  readonly #tokens: AuthTokens;
  readonly #credentials: { readonly hasAuth: boolean; readonly canChange: boolean };
  readonly #listener: ConnectionListener;
  readonly #reachability: Reachability;
  #closed = false;

  constructor(options: Target, listener: ConnectionListener) {
    this.#members = new Members(options);
    this.#credentials = { hasAuth: options.auth !== undefined, canChange: options.canChange };
    this.#tokens = new AuthTokens(options, (message) => listener.warning(message));
    this.#listener = listener;
    this.#reachability = new Reachability(() => this.check(), listener);
  }

  get isClosed(): boolean {
    return this.#closed;
  }

  /** Rejects when no member answers; further attempts go on until `close`. */
  async connect(): Promise<void> {
    try {
      await this.call('status', {}, CALL_TIMEOUT);
    } catch (error) {
      void this.#reachability.probe(error as Error);
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
    const tried = new Set<Member>();
    let failure: Error | undefined;
    for (;;) {
      this.#assertOpen();
      const remaining = deadline - performance.now();
      if (failure && remaining < SHORTEST_TRY) throw failure;
      const member = await this.#next(tried, Math.max(1, remaining), failure);
      tried.add(member);
      try {
        const answer = await this.#ask(member, name, request, deadline);
        this.#reachability.succeeded();
        return answer;
      } catch (error) {
        failure = error as Error;
        const isAnswer = !(failure instanceof DriverUnavailableError) && !isUnconnected(failure);
        if (isAnswer || this.#closed) throw failure;
        if (failure instanceof DriverUnavailableError && failure.sent) throw failure;
      }
    }
  }

  /** A stream to the member that is used now. Its `error` means nothing to callers but that it ended. */
  async stream<S extends keyof Streams>(name: S): Promise<Opened<S>> {
    this.#assertOpen();
    const member = await this.#next(new Set(), CALL_TIMEOUT);
    const channel = await this.#channelOf(member, CALL_TIMEOUT);
    const metadata = await this.#tokens.metadata(channel, CALL_TIMEOUT);
    this.#assertOpen();
    return { member, channel, metadata, stream: channel.stream(name, metadata) };
  }

  /** Leaves a member that did not answer in time, or whose connection was lost, and that connection. */
  failed(member: Member, channel: Channel | undefined, sentAt: number, cause: Error): void {
    if (this.#closed) return;
    // Where others were answered meanwhile only this request was slow.
    const isStale = channel !== undefined && channel.answeredAt < sentAt && !channel.hasFailed;
    if (isStale) member.renew(channel);
    const isLeft = this.#members.leave(member);
    if (isLeft || isStale) this.#listener.moved();
    this.#reachability.failed(cause, this.#members.size);
  }

  /** What a failed stream means. A token that was refused is not used again. */
  async streamFailed(
    { channel, metadata }: Pick<Opened<'watch'>, 'channel' | 'metadata'>,
    error: Error,
  ): Promise<Error> {
    const failure = classify(error, channel.address, this.#credentials);
    if (failure instanceof TokenRefusedError) await this.#tokens.forget(metadata);
    return failure;
  }

  /** Whether a stream that began with this token would begin with it again, once a request has tried it. */
  async stillTakes(metadata: Metadata, key: string): Promise<boolean> {
    await this.call('range', { key, limit: 1, keysOnly: true }, CALL_TIMEOUT).catch(() => undefined);
    return this.#tokens.isCurrent(metadata);
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
    this.#reachability.close();
    this.#members.close();
  }

  async #next(tried: ReadonlySet<Member>, timeout: number, failure?: Error): Promise<Member> {
    try {
      const member = await this.#members.next(tried, timeout);
      if (member) return member;
    } catch (error) {
      void this.#reachability.probe(error as Error);
      throw error;
    }
    throw failure!;
  }

  async #channelOf(member: Member, timeout: number): Promise<Channel> {
    const late = (): Error => new Error('it gave no value in time');
    try {
      return await within(member.channel(), timeout, late);
    } catch (error) {
      const failure = supplierFailure('tls', error);
      if (failure instanceof LockConfigError) throw failure;
      throw new DriverUnavailableError(failure.message, { sent: false, cause: failure });
    }
  }

  async #ask<C extends keyof Calls>(
    member: Member,
    name: C,
    request: Calls[C]['request'],
    deadline: number,
  ): Promise<Calls[C]['response']> {
    const remaining = (): number => Math.max(1, deadline - performance.now());
    let sentAt = performance.now();
    let channel: Channel | undefined;
    try {
      for (let isRepeated = false; ; isRepeated = true) {
        channel = await this.#channelOf(member, remaining());
        // A member that does not even accept a connection must leave time for the others.
        const patience = this.#members.mayBeOthers
          ? Math.min(remaining(), Math.max(200, remaining() / 2))
          : remaining();
        if (!(await channel.settled(patience))) throw unaccepted(member, patience);
        const metadata = await this.#tokens.metadata(channel, remaining());
        this.#assertOpen();
        sentAt = performance.now();
        try {
          return await channel.call(name, request, metadata, remaining());
        } catch (error) {
          const failure = classify(error, member.address, this.#credentials);
          if (!(failure instanceof TokenRefusedError)) throw failure;
          await this.#tokens.forget(metadata);
          if (isRepeated) throw new DriverUnavailableError(failure.message, { sent: false, cause: error });
        }
      }
    } catch (error) {
      const failure = error as Error;
      if (failure instanceof DriverUnavailableError || isUnconnected(failure)) {
        this.failed(member, channel, sentAt, failure);
      }
      throw failure;
    }
  }

  #assertOpen(): void {
    if (this.#closed) throw new DriverUnavailableError('The etcd driver is closed.', { sent: false });
  }
}

function unaccepted({ address }: Member, patience: number): DriverUnavailableError {
  const time = Math.round(patience);
  return new DriverUnavailableError(
    `etcd at ${address}: no connection within ${time} ms. Does an etcd listen there, with TLS or without as \`hosts\` and ` +
      '`tls` say, and may this process reach it?',
    { sent: false },
  );
}
