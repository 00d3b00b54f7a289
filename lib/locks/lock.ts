import type { Duration } from '../core/duration.js';

/**
 * One granted lock: the handle through which it is used and given back. Only the handle can release the lock; there is
 * no unlock by key. `held`, `remaining` and `ensure()` compare with the clock at every call, so they are right even
 * where the event loop was blocked past the end of the lease.
 *
 * A class rather than an interface, so that it can type a decorated parameter.
 */
export abstract class Lock implements AsyncDisposable {
  /** What is locked, without the namespace. */
  abstract readonly key: string;
  /** Unguessable id of this tenure in the store. */
  abstract readonly holder: string;
  /**
   * The number of this grant, strictly larger than that of every earlier grant of the key. Store it with what you write
   * (as BIGINT) and refuse writes that carry a smaller one: see M. Kleppmann, "How to do distributed locking".
   */
  abstract readonly fencingToken: number;
  /** Aborts with a LockLostError when the lock is lost, before another holder can have got it from the store. */
  abstract readonly signal: AbortSignal;
  /** Whether the lock is held, at this moment, by the local clock. */
  abstract readonly held: boolean;
  /** Milliseconds for which the lock stays held without a further renewal; 0 when it is not held. */
  abstract readonly remaining: number;
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
