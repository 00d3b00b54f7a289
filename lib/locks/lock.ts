import { type Duration, type Milliseconds, toMilliseconds } from '../core/duration.js';
import type { Hold } from './lease.js';

/**
 * One granted lock. Only this object can release the lock; there is no unlock by key.
 *
 * `held`, `remaining` and `ensure()` compare with the clock at every call. So they are right even where the event loop
 * was blocked past the end of the lease.
 *
 * `Lock` is a class, so that it can be the type of a decorated parameter.
 */
export abstract class Lock implements AsyncDisposable {
  /** The key as the caller named it, without the namespace. */
  abstract readonly key: string;
  /** The unguessable id of the lease in the store. */
  abstract readonly holder: string;
  /**
   * The number of this grant. It is strictly larger than the number of every earlier grant of the key, and below 2^53.
   * Store it with each write (as BIGINT), and refuse writes that carry a smaller number: see M. Kleppmann, "How to do
   * distributed locking".
   */
  abstract readonly fencingToken: number;
  /** Aborts with a LockLostError when the lock is lost, before the store grants the key to another holder. */
  abstract readonly signal: AbortSignal;
  /** True if the lock is held at this moment, by the clock of this process. */
  abstract readonly held: boolean;
  /** The time for which the lock stays held without a further renewal; 0 when it is not held. */
  abstract readonly remaining: Milliseconds;
  /**
   * Checks that the lock is held, before a step that must not happen without it.
   *
   * @param time the time for which the lock must stay held; default: any
   * @throws LockLostError when the lock is lost, was released, or stays held for less than `time`
   */
  abstract ensure(time?: Duration): void;
  /**
   * Gives the lock back. Further calls have no effect. Never rejects: a release that fails is repeated until the lease
   * has run out.
   */
  abstract release(): Promise<void>;

  /** Releases the lock at the end of an `await using` block. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.release();
  }
}

export interface HoldOwner {
  /** Called once for each handle. */
  letGo(hold: Hold): Promise<void>;
}

/** One user's share of a hold. Reentrant callers have a handle each. */
export class LockHandle extends Lock {
  readonly #hold: Hold;
  readonly #owner: HoldOwner;
  #released: Promise<void> | undefined;

  constructor(hold: Hold, owner: HoldOwner) {
    super();
    this.#hold = hold;
    this.#owner = owner;
    hold.shares++;
  }

  get key(): string {
    return this.#hold.key;
  }

  get holder(): string {
    return this.#hold.lease.claim.holder;
  }

  get fencingToken(): number {
    return this.#hold.fencingToken;
  }

  get signal(): AbortSignal {
    return this.#hold.signal;
  }

  get held(): boolean {
    return this.remaining > 0;
  }

  get remaining(): Milliseconds {
    return this.#released ? 0 : this.#hold.remaining;
  }

  get hold(): Hold {
    return this.#hold;
  }

  ensure(time?: Duration): void {
    const { remaining } = this;
    if (remaining > 0 && (time === undefined || remaining >= toMilliseconds(time, 'ensure()'))) return;
    if (this.#released) throw this.#hold.lossError('released');
    const over = this.#hold.lease.remaining > 0 ? 'max-hold' : 'expired';
    throw this.#hold.loss ?? this.#hold.lossError(remaining > 0 ? 'ending' : over);
  }

  /** @param to id of a waiting instance that comes before the others */
  release(to?: string): Promise<void> {
    if (to !== undefined && !this.#released) this.#hold.lease.successor = to;
    this.#released ??= this.#owner.letGo(this.#hold);
    return this.#released;
  }
}
