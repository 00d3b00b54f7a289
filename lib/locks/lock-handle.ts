import { type Duration, toMilliseconds } from '../core/duration.js';
import type { Hold } from './lease.js';
import { Lock } from './lock.js';

export interface HoldOwner {
  /** Called once for each handle. */
  letGo(hold: Hold): Promise<void>;
}

/** One user's share of a lease. Reentrant callers have a handle each. */
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

  get remaining(): number {
    return this.#released ? 0 : this.#hold.remaining;
  }

  get hold(): Hold {
    return this.#hold;
  }

  ensure(time?: Duration): void {
    const { remaining } = this;
    if (remaining > 0 && (time === undefined || remaining >= toMilliseconds(time, 'ensure()'))) return;
    if (this.#released) throw this.#hold.lossError('released');
    throw this.#hold.loss ?? this.#hold.lossError(remaining > 0 ? 'ending' : 'expired');
  }

  /** @param to id of a waiting instance that comes before the others */
  release(to?: string): Promise<void> {
    if (to !== undefined && !this.#released) this.#hold.lease.successor = to;
    this.#released ??= this.#owner.letGo(this.#hold);
    return this.#released;
  }
}
