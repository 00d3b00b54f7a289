import { backoff, type Random } from './backoff.js';
import type { Clock, Timer } from './clock.js';
import type { LossReason } from './errors.js';
import type { LockEventSink } from './events.js';
import type { Lease } from './lease.js';
import type { LockDriver } from './lock-driver.js';

/** Leases that one request to the store renews at most. */
const CHUNK = 250;

interface Watch {
  /** When to renew, or, while a renewal is under way, when to stop waiting for its answer and try again. */
  due: number;
  /** How much earlier than due it may be renewed together with others. */
  slack: number;
  failures: number;
  /** When the renewal that is under way was sent. */
  sentAt: number | undefined;
  cause: unknown;
}

/**
 * Renews all leases of one instance with one timer and as few requests as possible, retries what fails while the lease
 * is valid, and delivers the news of a loss. It decides nothing by the time at which a timer fires: a lease that the
 * clock says is over is lost before anything is sent for it. Once a lease is unwatched no renewal of it is sent.
 */
export class Watchdog {
  readonly #driver: LockDriver;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #emit: LockEventSink;
  readonly #watches = new Map<Lease, Watch>();
  #timer: Timer | undefined;
  #timerAt = Infinity;

  constructor(driver: LockDriver, clock: Clock, random: Random, emit: LockEventSink) {
    this.#driver = driver;
    this.#clock = clock;
    this.#random = random;
    this.#emit = emit;
  }

  watch(lease: Lease): void {
    const watch: Watch = { due: 0, slack: 0, failures: 0, sentAt: undefined, cause: undefined };
    this.#plan(lease, watch, this.#clock.now());
    this.#watches.set(lease, watch);
    this.#arm(Math.min(watch.due, lease.validUntil));
  }

  unwatch(lease: Lease): void {
    this.#watches.delete(lease);
  }

  lose(lease: Lease, reason: LossReason, cause?: unknown): void {
    this.#watches.delete(lease);
    const { key, fencingToken } = lease;
    if (!lease.lose(reason, cause)) return;
    this.#emit({ type: 'lost', key, fencingToken, reason, held: this.#clock.now() - lease.acquiredAt });
  }

  #arm(at: number): void {
    if (at >= this.#timerAt) return;
    this.#timer?.cancel();
    this.#timerAt = at;
    this.#timer = this.#clock.after(at - this.#clock.now(), () => this.#tick());
  }

  #tick(): void {
    this.#timerAt = Infinity;
    const now = this.#clock.now();
    const due: Lease[] = [];
    for (const [lease, watch] of this.#watches) {
      if (lease.remaining === 0) {
        this.lose(lease, 'expired', watch.cause);
      } else if (watch.due - watch.slack <= now) {
        if (watch.sentAt === undefined) due.push(lease);
        else this.#failed(lease, watch, new Error('The store did not answer a renewal in time.'));
      }
    }
    for (let from = 0; from < due.length; from += CHUNK) void this.#renew(due.slice(from, from + CHUNK));

    let next = Infinity;
    for (const [lease, watch] of this.#watches) next = Math.min(next, watch.due, lease.validUntil);
    if (next < Infinity) this.#arm(next);
  }

  async #renew(leases: readonly Lease[]): Promise<void> {
    const sentAt = this.#clock.now();
    for (const lease of leases) {
      const watch = this.#watches.get(lease)!;
      watch.sentAt = sentAt;
      watch.due = sentAt + lease.claim.ttl / 6;
      watch.slack = 0;
    }
    try {
      const outcomes = await this.#driver.renew(leases.map((lease) => lease.claim));
      leases.forEach((lease, index) => {
        const watch = this.#watches.get(lease);
        if (!watch) return;
        if (outcomes[index] === 'gone') this.lose(lease, 'gone');
        else if (lease.renewed(sentAt)) this.#succeeded(lease, watch, sentAt);
        else this.lose(lease, 'expired', watch.cause);
      });
    } catch (error) {
      for (const lease of leases) {
        const watch = this.#watches.get(lease);
        if (watch?.sentAt === sentAt) this.#failed(lease, watch, error);
      }
    }
  }

  #succeeded(lease: Lease, watch: Watch, sentAt: number): void {
    this.#plan(lease, watch, sentAt);
    const { key, fencingToken } = lease;
    this.#emit({ type: 'renewed', key, fencingToken, took: this.#clock.now() - sentAt });
    this.#arm(watch.due);
  }

  #failed(lease: Lease, watch: Watch, cause: unknown): void {
    const { key, fencingToken, remaining } = lease;
    watch.sentAt = undefined;
    watch.cause = cause;
    watch.due = this.#clock.now() + backoff(watch.failures, Math.min(100, lease.claim.ttl / 12), 1000, this.#random);
    if (watch.failures++ === 0) this.#emit({ type: 'at-risk', key, fencingToken, remaining, cause });
    this.#arm(watch.due);
  }

  #plan(lease: Lease, watch: Watch, from: number): void {
    watch.sentAt = undefined;
    watch.failures = 0;
    watch.cause = undefined;
    watch.due = from + lease.renewEvery;
    watch.slack = lease.renewEvery / 4;
  }
}
