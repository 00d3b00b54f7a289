import { type Duration, type Milliseconds, toMilliseconds } from '../core/duration.js';
import type { Hold } from './lease.js';

/**
 * One granted lock: the handle through which it is used and given back. Only the handle can release the lock; there is
 * no unlock by key. `held`, `remaining` and `ensure()` compare with the clock at every call, so they are right even
 * where the event loop was blocked past the end of the lease.
 *
 * A class rather than an interface, so that it can type a decorated parameter.
 */
export abstract class Lock implements AsyncDisposable {
  /** The key as the caller named it, without the namespace. */
  abstract readonly key: string;
  /** Unguessable id of this lease in the store. */
  abstract readonly holder: string;
  /**
   * The number of this grant, strictly larger than that of every earlier grant of the key. Store it with what you write
   * (as BIGINT) and refuse writes that carry a smaller one: see M. Kleppmann, "How to do distributed locking".
   */
  abstract readonly fencingToken: number;
  /** Aborts with a LockLostError when the lock is lost, before another holder can have got it from the store. */
  abstract readonly signal: AbortSignal;
  /** True while the lock is held, at this moment, by the local clock. */
  abstract readonly held: boolean;
  /** Time for which the lock stays held without a further renewal; 0 when it is not held. */
  abstract readonly remaining: Milliseconds;
  /**
   * Call it before work that must not start late.
   *
   * @param time how much must be left, default: any
   * @throws LockLostError when the lock is lost, was released, or less time is left
   */
  abstract ensure(time?: Duration): void;
  /** Gives the lock back. Idempotent; never rejects: a release that fails is retried until the lease has run out. */
  abstract release(): Promise<void>;

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
