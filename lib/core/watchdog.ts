import { backoff, type Random } from './backoff.js';
import type { Clock, Timer } from './clock.js';
import type { LossReason } from './errors.js';
import type { LockEventSink } from './events.js';
import { LinkedList } from './linked-list.js';
import type { LockDriver } from './lock-driver.js';
import type { Tenure } from './tenure.js';

/** Leases that one request to the store renews at most. */
const CHUNK = 250;

export interface Watch {
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
  readonly #onLoss: (tenure: Tenure) => void;
  readonly #watched = new LinkedList<Tenure>();
  #timer: Timer | undefined;
  #timerAt = Infinity;

  constructor(driver: LockDriver, clock: Clock, random: Random, emit: LockEventSink, onLoss: (tenure: Tenure) => void) {
    this.#driver = driver;
    this.#clock = clock;
    this.#random = random;
    this.#emit = emit;
    this.#onLoss = onLoss;
  }

  watch(tenure: Tenure): void {
    const due = tenure.firstRenewal;
    const slack = (due - tenure.since) / 4;
    tenure.watch = { due, slack, failures: 0, sentAt: undefined, cause: undefined };
    this.#watched.append(tenure);
    this.#arm(Math.min(due, tenure.validUntil));
  }

  unwatch(tenure: Tenure): void {
    tenure.watch = undefined;
    this.#watched.remove(tenure);
  }

  /** The store may have lost what it granted: renews everything now, which tells. */
  verify(): void {
    const now = this.#clock.now();
    for (const { watch } of this.#watched.items()) if (watch!.sentAt === undefined) watch!.due = now;
    if (this.#watched.first) this.#arm(now);
  }

  lose(tenure: Tenure, reason: LossReason, cause?: unknown): void {
    this.unwatch(tenure);
    const { lease } = tenure;
    if (!tenure.lose(reason, cause)) return;
    this.#onLoss(tenure);
    if (!lease?.loss) return;
    const { key, fencingToken, election, acquiredAt } = lease;
    this.#emit({ type: 'lost', key, fencingToken, election, reason, held: this.#clock.now() - acquiredAt });
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
    const due: Tenure[] = [];
    for (const tenure of this.#watched.items()) {
      const { watch } = tenure;
      if (!watch) continue;
      if (tenure.remaining === 0) {
        this.lose(tenure, 'expired', watch.cause);
      } else if (watch.due - watch.slack <= now) {
        if (watch.sentAt === undefined) due.push(tenure);
        else this.#failed(tenure, watch, new Error('The store did not answer a renewal in time.'));
      }
    }
    // Whoever was told of a loss may have released others.
    const renewable = due.filter(({ watch }) => watch);
    for (const group of this.#grouped(renewable)) {
      for (let from = 0; from < group.length; from += CHUNK) void this.#renew(group.slice(from, from + CHUNK));
    }

    let next = Infinity;
    for (const { watch, validUntil } of this.#watched.items()) next = Math.min(next, watch!.due, validUntil);
    if (next < Infinity) this.#arm(next);
  }

  #grouped(tenures: readonly Tenure[]): Iterable<readonly Tenure[]> {
    if (!this.#driver.renewalGroup) return [tenures];
    const groups = new Map<number, Tenure[]>();
    for (const tenure of tenures) {
      const group = this.#driver.renewalGroup(tenure.claim.key);
      const members = groups.get(group);
      if (members) members.push(tenure);
      else groups.set(group, [tenure]);
    }
    return groups.values();
  }

  async #renew(tenures: readonly Tenure[]): Promise<void> {
    const sentAt = this.#clock.now();
    for (const tenure of tenures) {
      const watch = tenure.watch!;
      watch.sentAt = sentAt;
      watch.due = sentAt + tenure.claim.ttl / 6;
      watch.slack = 0;
    }
    try {
      const outcomes = await this.#driver.renew(tenures.map((tenure) => tenure.claim));
      tenures.forEach((tenure, index) => {
        const { watch } = tenure;
        if (!watch) return;
        const outcome = outcomes[index]!;
        if (outcome === 'gone') return this.lose(tenure, 'gone');
        if (outcome === 'unknown') {
          if (watch.sentAt === sentAt)
            this.#failed(tenure, watch, new Error('Too few servers answered for this lease.'));
          return;
        }
        if (outcome !== 'held') tenure.waiters = outcome.waiters;
        if (tenure.renewed(sentAt)) this.#succeeded(tenure, watch, sentAt);
        else this.lose(tenure, 'expired', watch.cause);
      });
    } catch (error) {
      for (const tenure of tenures) {
        const { watch } = tenure;
        if (watch?.sentAt === sentAt) this.#failed(tenure, watch, error);
      }
    }
  }

  #succeeded(tenure: Tenure, watch: Watch, sentAt: number): void {
    this.#plan(tenure, watch, sentAt);
    const { key, fencingToken, election } = tenure.lease!;
    this.#emit({ type: 'renewed', key, fencingToken, election, took: this.#clock.now() - sentAt });
    this.#arm(watch.due);
  }

  #failed(tenure: Tenure, watch: Watch, cause: unknown): void {
    const { key, fencingToken, election, remaining } = tenure.lease!;
    watch.sentAt = undefined;
    watch.cause = cause;
    watch.due = this.#clock.now() + backoff(watch.failures, Math.min(100, tenure.claim.ttl / 12), 1000, this.#random);
    if (watch.failures++ === 0) this.#emit({ type: 'at-risk', key, fencingToken, election, remaining, cause });
    this.#arm(watch.due);
  }

  #plan(tenure: Tenure, watch: Watch, from: number): void {
    watch.sentAt = undefined;
    watch.failures = 0;
    watch.cause = undefined;
    watch.due = from + tenure.renewEvery;
    watch.slack = tenure.renewEvery / 4;
  }
}
