import type { Clock } from '../core/clock.js';
import type { Milliseconds } from '../core/duration.js';
import { NotLeaderError } from '../core/errors.js';
import { within } from './background.js';
import type { Member, Term } from './leadership.js';

/** The argument of methods under `@OnStartedLeading()`. */
export interface StartedLeading {
  readonly term: Term;
  /** The signal of the term. Aborts when the term ends. */
  readonly signal: AbortSignal;
}

/** The argument of each kind of callback. */
export interface CallbackArguments {
  readonly started: StartedLeading;
  /** The reason for the end of the term. */
  readonly stopped: string;
  readonly newLeader: Member;
}

export type CallbackKind = keyof CallbackArguments;

interface Callback<Argument> {
  /** Class and method, for messages. */
  readonly label: string;
  readonly call: (argument: Argument) => unknown;
}

interface CallbacksContext {
  readonly clock: Clock;
  readonly grace: Milliseconds;
  /** Runs leader work. The hand-over waits for it. */
  track(work: () => unknown): Promise<unknown>;
  /** A callback threw. `during` is its term. Null: it belongs to no term of this instance. */
  failed(label: string, cause: unknown, during: Term | null): void;
}

/**
 * The callbacks of the application for one election:
 *
 * 1. In each term, each `started` callback is called once.
 * 2. After the term, each `stopped` callback is called once: when the `started` ones have settled, or the grace period is
 *    over.
 * 3. A term that ended before its `started` callbacks were called gets no `stopped` ones.
 * 4. A `newLeader` callback is called once for each new leader that this instance learns of.
 * 5. A `started` or `newLeader` callback that throws ends the term of this instance in which it was called.
 */
export class LeaderCallbacks {
  readonly #context: CallbacksContext;
  readonly #callbacks: { readonly [Kind in CallbackKind]: Callback<CallbackArguments[Kind]>[] } = {
    started: [],
    stopped: [],
    newLeader: [],
  };
  #started: Promise<unknown> | undefined;
  #lastLeader: Member | undefined;

  constructor(context: CallbacksContext) {
    this.#context = context;
  }

  add<Kind extends CallbackKind>(
    kind: Kind,
    label: string,
    call: (argument: CallbackArguments[Kind]) => unknown,
  ): void {
    this.#callbacks[kind].push({ label, call });
  }

  started(term: Term): void {
    const { signal } = term;
    const calls = this.#callbacks.started.map((callback) =>
      this.#context.track(() => this.#call(callback, { term, signal }, term)),
    );
    this.#started = Promise.all(calls);
  }

  /** Resolves when all `stopped` callbacks have settled; undefined where there is nothing to wait for. */
  stopped(reason: string): Promise<unknown> | undefined {
    const { clock, grace, track } = this.#context;
    const started = this.#started;
    this.#started = undefined;
    if (!started || this.#callbacks.stopped.length === 0) return undefined;
    return track(async () => {
      await within(clock, grace, started);
      await Promise.all(this.#callbacks.stopped.map((callback) => this.#call(callback, reason, null)));
    });
  }

  /** @param term the term of this instance, if it is the leader */
  newLeader(leader: Member, term: Term | null): void {
    const last = this.#lastLeader;
    if (last?.id === leader.id && last.joinedAt === leader.joinedAt) return;
    this.#lastLeader = leader;
    for (const callback of this.#callbacks.newLeader) void this.#call(callback, leader, term);
  }

  async #call<Argument>({ label, call }: Callback<Argument>, argument: Argument, during: Term | null): Promise<void> {
    try {
      await call(argument);
    } catch (error) {
      if (!isOwnAbort(error, during?.signal)) this.#context.failed(label, error, during);
    }
  }
}

/** Code that ends because its signal aborted often throws the reason of the signal, or an AbortError. */
function isOwnAbort(error: unknown, signal: AbortSignal | undefined): boolean {
  if (!signal?.aborted) return false;
  if (error === signal.reason || error instanceof NotLeaderError) return true;
  return error instanceof Error && error.name === 'AbortError';
}
