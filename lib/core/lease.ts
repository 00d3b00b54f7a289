import { setMaxListeners } from 'node:events';
import { type Duration, toMilliseconds } from './duration.js';
import type { Linked } from './linked-list.js';
import { type HoldFacts, LockLostError, type LossReason } from './errors.js';
import { Lock } from './lock.js';
import type { CallSite } from './call-site.js';
import { electionOf, subjectOf } from './store-key.js';
import type { Tenure } from './tenure.js';

/** One grant of a key: a token and a signal of its own, valid as long as the tenure that it uses. */
export class Lease implements Linked<Lease> {
  before: Lease | undefined;
  after: Lease | undefined;
  /** As the caller named it. */
  readonly key: string;
  readonly tenure: Tenure;
  readonly fencingToken: number;
  readonly acquiredAt: number;
  /** Handles that use this lease; the last one to let go ends it. */
  shares = 0;
  /** Where it was acquired, where that was noted. */
  callSite: CallSite | undefined;
  /** A call of ours releases it, where nobody can forget to. */
  isGuarded = false;
  /** No caller's: a leader's. */
  isBackground = false;

  #ended = false;
  #loss: LockLostError | undefined;
  #controller: AbortController | undefined;

  constructor(key: string, tenure: Tenure, fencingToken: number, acquiredAt: number) {
    this.key = key;
    this.tenure = tenure;
    this.fencingToken = fencingToken;
    this.acquiredAt = acquiredAt;
    tenure.lease = this;
  }

  /** The name of the election whose leader has it; undefined for a lock. */
  get election(): string | undefined {
    return electionOf(this.tenure.claim.key);
  }

  get remaining(): number {
    return this.#ended ? 0 : this.tenure.remaining;
  }

  get signal(): AbortSignal {
    if (!this.#controller) {
      this.#controller = new AbortController();
      // As many listeners as the protected code has parts: no leak.
      setMaxListeners(0, this.#controller.signal);
      if (this.#loss) this.#controller.abort(this.#loss);
    }
    return this.#controller.signal;
  }

  get loss(): LockLostError | undefined {
    return this.#loss;
  }

  lose(reason: LossReason, cause?: unknown): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#loss = this.lossError(reason, cause);
    this.#controller?.abort(this.#loss);
  }

  end(): void {
    this.#ended = true;
  }

  lossError(reason: LossReason, cause?: unknown): LockLostError {
    const { subject, since, remaining } = this.facts();
    return new LockLostError(this.key, this.fencingToken, reason, {
      subject,
      since,
      remaining: reason === 'ending' ? remaining : 0,
      ...(cause === undefined ? {} : { cause }),
    });
  }

  /** For messages about it. */
  facts(): HoldFacts {
    const { claim } = this.tenure;
    return {
      subject: subjectOf(claim.key, this.key),
      since: this.tenure.wallAt(this.acquiredAt),
      remaining: this.remaining,
      heldHere: true,
      acquiredAt: this.callSite?.text,
    };
  }
}

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
