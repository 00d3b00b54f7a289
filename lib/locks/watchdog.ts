import { Alarm } from '../core/alarm.js';
import { backoff } from '../core/backoff.js';
import type { Clock, Random } from '../core/clock.js';
import type { LockEventSink } from '../core/events.js';
import { Heap } from '../core/heap.js';
import type { LockDriver, RenewOutcome } from '../core/lock-driver.js';
import type { LossReason } from '../core/lock-errors.js';
import type { Lease } from './lease.js';
import { Outages } from './outages.js';
import { Watch } from './watch.js';

type LeaseWatch = Watch<Lease>;

/** Leases that one request to the store renews at most. */
const CHUNK = 250;

/**
 * Renews all leases of one instance with one timer and as few requests as possible, and reports losses.
 *
 * 1. The time at which a timer fires decides nothing: a lease that is over by the clock is lost before anything is sent
 *    for it.
 * 2. A renewal that fails is repeated while the lease is valid. "Not the holder" is final.
 * 3. Once a lease is unwatched no renewal of it is sent.
 * 4. A request that fails as a whole shows that a part of the store is down: only probes are sent there then.
 */
export class Watchdog {
  readonly #driver: LockDriver;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #emit: LockEventSink;
  readonly #onLoss: (lease: Lease) => void;
  readonly #watched = new Heap<LeaseWatch>();
  readonly #outages: Outages<LeaseWatch>;
  readonly #alarm: Alarm;

  constructor(driver: LockDriver, clock: Clock, random: Random, emit: LockEventSink, onLoss: (lease: Lease) => void) {
    this.#driver = driver;
    this.#clock = clock;
    this.#random = random;
    this.#emit = emit;
    this.#onLoss = onLoss;
    this.#alarm = new Alarm(clock, () => this.#tick());
    this.#outages = new Outages<LeaseWatch>(clock, random, {
      wanted: (watches) => watches.filter((watch) => watch.isSuspended && watch.lease.remaining > 0),
      probe: (watch) => this.#renew([watch], true),
      again: (watches) => this.#again(watches),
    });
  }

  watch(lease: Lease): void {
    const watch = new Watch(lease);
    lease.watch = watch;
    this.#plan(watch, lease.firstRenewal, (lease.firstRenewal - lease.since) / 4);
  }

  unwatch(lease: Lease): void {
    if (lease.watch) this.#watched.remove(lease.watch);
    lease.watch = undefined;
  }

  /** The store may have lost leases: renews all of them now, and so finds out. */
  verify(): void {
    this.#outages.end();
    const now = this.#clock.now();
    for (const watch of this.#watched.items()) if (watch.sentAt === undefined) this.#plan(watch, now);
  }

  lose(lease: Lease, reason: LossReason, cause?: unknown): void {
    this.unwatch(lease);
    const { hold } = lease;
    if (!lease.lose(reason, cause)) return;
    this.#onLoss(lease);
    if (!hold?.loss) return;
    const { key, fencingToken, election, acquiredAt } = hold;
    this.#emit({ type: 'lost', key, fencingToken, election, reason, held: this.#clock.now() - acquiredAt });
  }

  /** Sets the time of the next look: Infinity for the end of the lease. */
  #plan(watch: LeaseWatch, due: number, slack = 0): void {
    this.#watched.remove(watch);
    watch.plan(due, slack);
    this.#watched.add(watch);
    this.#alarm.setFor(watch.deadline);
  }

  #tick(): void {
    const now = this.#clock.now();
    const due: LeaseWatch[] = [];
    // 1. The earliest first: those that are over are lost, those without an answer wait for a probe, others are due.
    for (let { first } = this.#watched; first; { first } = this.#watched) {
      if (first.lease.remainingAt(now) === 0) this.lose(first.lease, 'expired', first.cause);
      else if (first.due - first.slack > now) break;
      else if (first.sentAt !== undefined)
        this.#suspend(first, new Error('The store did not answer a renewal in time.'));
      else {
        due.push(first);
        this.#plan(first, Infinity);
      }
    }
    // 2. Renew, except leases that a listener of a loss has released meanwhile.
    this.#send(due.filter((watch) => watch.isOpen));
    // 3. Look again at the next one.
    this.#alarm.setFor(this.#watched.first?.deadline ?? Infinity);
  }

  #send(watches: readonly LeaseWatch[]): void {
    const parts = new Map<number, LeaseWatch[]>();
    for (const watch of watches) {
      const part = (watch.part ??= this.#driver.renewalGroup?.(watch.lease.claim.key) ?? 0);
      if (this.#outages.isDown(part)) this.#suspend(watch, this.#outages.causeOf(part));
      else if (parts.has(part)) parts.get(part)!.push(watch);
      else parts.set(part, [watch]);
    }
    for (const group of parts.values()) {
      group.sort((one, other) => one.lease.validUntil - other.lease.validUntil);
      for (let from = 0; from < group.length; from += CHUNK) this.#renew(group.slice(from, from + CHUNK), false);
    }
  }

  #renew(watches: readonly LeaseWatch[], isProbe: boolean): void {
    const sentAt = this.#clock.now();
    for (const watch of watches) {
      watch.sentAt = sentAt;
      if (!isProbe) watch.tries++;
      this.#plan(watch, sentAt + watch.lease.claim.ttl / 6);
    }
    const [{ part }] = watches as [LeaseWatch];
    this.#driver.renew(watches.map(({ lease }) => lease.claim)).then(
      (outcomes) => {
        watches.forEach((watch, index) => this.#answered(watch, outcomes[index]!, sentAt));
        this.#outages.answered(part!);
      },
      (error: unknown) => {
        for (const watch of watches) if (watch.isOpen && watch.sentAt === sentAt) this.#suspend(watch, error);
        if (isProbe) this.#outages.failed();
      },
    );
  }

  #answered(watch: LeaseWatch, outcome: RenewOutcome, sentAt: number): void {
    const { lease } = watch;
    if (!watch.isOpen) return;
    if (outcome === 'gone') return this.lose(lease, 'gone');
    if (outcome === 'unknown') {
      if (watch.sentAt === sentAt) this.#retry(watch, new Error('Too few servers answered for this lease.'));
      return;
    }
    if (outcome !== 'held') lease.waiters = outcome.waiters;
    if (!lease.renewed(sentAt)) return this.lose(lease, 'expired', watch.cause);
    watch.succeeded();
    this.#plan(watch, sentAt + lease.renewEvery, lease.renewEvery / 4);
    const { key, fencingToken, election } = lease.hold!;
    this.#emit({ type: 'renewed', key, fencingToken, election, took: this.#clock.now() - sentAt });
  }

  /** The lease waits until a probe is answered. */
  #suspend(watch: LeaseWatch, cause: unknown): void {
    this.#atRisk(watch, cause);
    this.#plan(watch, Infinity);
    this.#outages.add(watch.part!, watch, watch.firstDelay, cause);
  }

  /** The part of the store answers: a lease whose renewal fails nevertheless waits by itself. */
  #again(watches: readonly LeaseWatch[]): void {
    for (const watch of watches) if (watch.tries > 1) this.#retry(watch, watch.cause);
    this.#send(watches.filter((watch) => watch.isOpen && watch.tries <= 1));
  }

  #retry(watch: LeaseWatch, cause: unknown): void {
    this.#atRisk(watch, cause);
    const delay = backoff(watch.tries - 1, watch.firstDelay, 1000, this.#random);
    this.#plan(watch, this.#clock.now() + delay);
  }

  #atRisk(watch: LeaseWatch, cause: unknown): void {
    watch.sentAt = undefined;
    watch.cause = cause;
    if (watch.isAtRisk) return;
    watch.isAtRisk = true;
    const { key, fencingToken, election, remaining } = watch.lease.hold!;
    this.#emit({ type: 'at-risk', key, fencingToken, election, remaining, cause });
  }
}
