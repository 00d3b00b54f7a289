import type { Metadata } from '@grpc/grpc-js';
import type { Clock, Random } from '../../../core/clock.js';
import { DriverUnavailableError } from '../../../core/errors.js';
import type { Target } from '../options.js';
import { AuthTokens } from './auth-token.js';
import { classify, isUnconnected, TokenRefusedError } from './call-errors.js';
import type { Channel, Stream } from './channel.js';
import type { Member } from './member.js';
import { Members } from './members.js';
import type { Calls, Streams } from './messages.js';
import { Reachability, type ReachabilityListener } from './reachability.js';

export interface ConnectionListener extends ReachabilityListener {
  /** Requests go over another connection from now on. Streams have to follow. */
  moved(): void;
  warning(message: string): void;
}

/** A stream, with the connection and the token that it was opened with. */
export interface Opened<S extends keyof Streams> {
  readonly member: Member;
  readonly channel: Channel;
  readonly metadata: Metadata;
  readonly stream: Stream<S>;
}

type OpenedWith = Pick<Opened<'watch'>, 'channel' | 'metadata'>;

/** Milliseconds that are too short for an attempt on another member. */
const SHORTEST_TRY = 20;

/** Milliseconds for a call that belongs to no lease. */
export const CALL_TIMEOUT = 1500;

/**
 * The connection to a cluster:
 *
 * 1. All requests go to one member at a time.
 * 2. They go to the next one when it fails or does not answer in time: a stopped member costs one timeout.
 * 3. A request goes to a second member only when it is sure that the first has not executed it.
 */
export class EtcdConnection {
  readonly #members: Members;
  readonly #tokens: AuthTokens;
  readonly #credentials: { readonly hasAuth: boolean; readonly canChange: boolean };
  readonly #listener: ConnectionListener;
  readonly #reachability: Reachability;
  readonly #clock: Clock;
  #closed = false;

  constructor(options: Target, listener: ConnectionListener, clock: Clock, random: Random) {
    this.#clock = clock;
    this.#members = new Members(options, clock, random);
    this.#credentials = { hasAuth: options.auth !== undefined, canChange: options.canChange };
    this.#tokens = new AuthTokens(options, clock, (message) => listener.warning(message));
    this.#listener = listener;
    this.#reachability = new Reachability(() => this.check(), listener, clock, random);
  }

  get isClosed(): boolean {
    return this.#closed;
  }

  /** Rejects when no member answers. Further attempts follow until `close`. */
  async connect(): Promise<void> {
    try {
      await this.call('status', {}, CALL_TIMEOUT);
    } catch (error) {
      void this.#reachability.probe(error as Error);
      throw error;
    }
  }

  /** @throws DriverUnavailableError, LockConfigError, or LeaseGoneError */
  async call<C extends keyof Calls>(
    name: C,
    request: Calls[C]['request'],
    timeout: number,
  ): Promise<Calls[C]['response']> {
    const deadline = this.#clock.now() + timeout;
    const tried = new Set<Member>();
    let failure: Error | undefined;
    for (;;) {
      this.#assertOpen();
      const remaining = deadline - this.#clock.now();
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

  /** A stream to the member that is used now. For callers its `error` is the end of the stream, and nothing else. */
  async stream<S extends keyof Streams>(name: S): Promise<Opened<S>> {
    this.#assertOpen();
    const member = await this.#next(new Set(), CALL_TIMEOUT);
    const channel = await member.channel(CALL_TIMEOUT);
    const metadata = await this.#tokens.metadata(channel, CALL_TIMEOUT);
    this.#assertOpen();
    return { member, channel, metadata, stream: channel.stream(name, metadata) };
  }

  /** Leaves a member that did not answer in time, or whose connection was lost. The connection is left, too. */
  failed(member: Member, channel: Channel | undefined, sentAt: number, cause: Error): void {
    if (this.#closed) return;
    // If others were answered meanwhile, only this request was slow.
    const isStale = channel !== undefined && !channel.hasAnsweredSince(sentAt) && !channel.hasFailed;
    if (isStale) member.renew(channel);
    if (this.#members.leave(member) || isStale) this.#listener.moved();
    this.#reachability.failed(cause, this.#members.size);
  }

  /** The reason why a stream failed. A token that was refused is not used again. */
  async streamFailed({ channel, metadata }: OpenedWith, error: Error): Promise<Error> {
    const failure = classify(error, channel.address, this.#credentials);
    if (failure instanceof TokenRefusedError) await this.#tokens.forget(metadata);
    return failure;
  }

  /** Tries the current token with a request. Resolves with true when a new stream would have this metadata again. */
  async stillTakes(metadata: Metadata, key: string): Promise<boolean> {
    await this.call('range', { key, limit: 1, keysOnly: true }, CALL_TIMEOUT).catch(() => undefined);
    return this.#tokens.isCurrent(metadata);
  }

  /** Resolves with true when a member answers that knows a leader. */
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

  async #ask<C extends keyof Calls>(
    member: Member,
    name: C,
    request: Calls[C]['request'],
    deadline: number,
  ): Promise<Calls[C]['response']> {
    const remaining = (): number => Math.max(1, deadline - this.#clock.now());
    let sentAt = this.#clock.now();
    let channel: Channel | undefined;
    try {
      for (let isRepeated = false; ; isRepeated = true) {
        channel = await member.channel(remaining());
        // A member that accepts no connection must leave time for the other members.
        const left = remaining();
        await channel.settled(this.#members.mayBeOthers ? Math.min(left, Math.max(200, left / 2)) : left);
        const metadata = await this.#tokens.metadata(channel, remaining());
        this.#assertOpen();
        sentAt = this.#clock.now();
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
