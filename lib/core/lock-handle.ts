import { type Duration, toMilliseconds } from './duration.js';
import type { Lease } from './lease.js';
import { Lock } from './lock.js';

export interface LeaseOwner {
  /** Called once for each handle. */
  letGo(lease: Lease): Promise<void>;
}

/** One user's share of a lease. Reentrant callers have a handle each. */
export class LeaseHandle extends Lock {
  readonly #lease: Lease;
  readonly #owner: LeaseOwner;
  #released: Promise<void> | undefined;

  constructor(lease: Lease, owner: LeaseOwner) {
    super();
    this.#lease = lease;
    this.#owner = owner;
    lease.shares++;
  }

  get key(): string {
    return this.#lease.key;
  }

  get holder(): string {
    return this.#lease.tenure.claim.holder;
  }

  get fencingToken(): number {
    return this.#lease.fencingToken;
  }

  get signal(): AbortSignal {
    return this.#lease.signal;
  }

  get held(): boolean {
    return this.remaining > 0;
  }

  get remaining(): number {
    return this.#released ? 0 : this.#lease.remaining;
  }

  get lease(): Lease {
    return this.#lease;
  }

  ensure(time?: Duration): void {
    const { remaining } = this;
    if (remaining > 0 && (time === undefined || remaining >= toMilliseconds(time, 'ensure()'))) return;
    if (this.#released) throw this.#lease.lossError('released');
    throw this.#lease.loss ?? this.#lease.lossError(remaining > 0 ? 'ending' : 'expired');
  }

  /** @param to id of a waiting instance that comes before the others */
  release(to?: string): Promise<void> {
    if (to !== undefined && !this.#released) this.#lease.tenure.successor = to;
    this.#released ??= this.#owner.letGo(this.#lease);
    return this.#released;
  }
}
