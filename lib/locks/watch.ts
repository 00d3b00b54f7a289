import type { Milliseconds } from '../core/duration.js';
import type { Timed } from '../core/heap.js';

/** A lease, as far as a watch knows it. */
interface Watched {
  readonly claim: { readonly ttl: Milliseconds };
  readonly validUntil: number;
  watch: unknown;
}

/** The watchdog's notes on one lease, as long as it is renewed. */
export class Watch<Lease extends Watched = Watched> implements Timed {
  readonly lease: Lease;
  place: number | undefined;
  /** When the watchdog looks at it: it is due, or over. */
  deadline = Infinity;
  /** When to renew, or, while a renewal is under way, when to stop waiting for its answer and try again. */
  due = Infinity;
  /** It may be renewed this much earlier, together with others. */
  slack: Milliseconds = 0;
  /** When the renewal that is under way was sent. */
  sentAt: number | undefined;
  /** The part of the store that it is in, which can be down by itself; known once it was renewed. */
  part: number | undefined;
  /** Renewals since the last one that succeeded, without probes. */
  tries = 0;
  isAtRisk = false;
  cause: unknown;

  constructor(lease: Lease) {
    this.lease = lease;
  }

  /** Is the lease still renewed? */
  get isOpen(): boolean {
    return this.lease.watch === this;
  }

  /** Does it wait until its part of the store answers a probe? */
  get isSuspended(): boolean {
    return this.isOpen && this.isAtRisk && this.due === Infinity;
  }

  /** Time before a renewal that failed is repeated for the first time. */
  get firstDelay(): Milliseconds {
    return Math.min(100, this.lease.claim.ttl / 12);
  }

  /** Not while a heap has it. */
  plan(due: number, slack: number): void {
    this.due = due;
    this.slack = slack;
    this.deadline = Math.min(due, this.lease.validUntil);
  }

  succeeded(): void {
    this.sentAt = undefined;
    this.tries = 0;
    this.isAtRisk = false;
    this.cause = undefined;
  }
}
