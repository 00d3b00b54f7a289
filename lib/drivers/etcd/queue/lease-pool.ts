import { randomBytes } from 'node:crypto';
import type { Clock, Timer } from '../../../core/clock.js';
import { DriverUnavailableError } from '../../../core/errors.js';
import { LeaseGoneError } from '../client/call-errors.js';
import { CALL_TIMEOUT, type EtcdConnection } from '../client/connection.js';
import type { KeepAlives } from '../client/keep-alives.js';
import { secondsOf, StoreLease } from './store-lease.js';

/** The most idle leases of one TTL, and the milliseconds for which an idle lease is kept. */
const MOST_IDLE = 64;
const IDLE_FOR = 60_000;

/**
 * Leases of etcd that are granted before a claim needs them, and used again after a clean release. So a lock costs one
 * request, and its release one. Idle leases are kept alive. After a minute without use they are forgotten.
 */
export class LeasePool {
  readonly #connection: EtcdConnection;
  readonly #keepAlives: KeepAlives;
  readonly #clock: Clock;
  /** Idle leases by their TTL in seconds. The lease that was used last stands last. */
  readonly #idle = new Map<number, StoreLease[]>();
  readonly #granting = new Map<number, Promise<void>>();
  readonly #timers = new Map<number, Timer>();

  constructor(connection: EtcdConnection, keepAlives: KeepAlives, clock: Clock) {
    this.#connection = connection;
    this.#keepAlives = keepAlives;
    this.#clock = clock;
  }

  /**
   * A lease to which nothing is attached, with at least half of its TTL left, as far as is known.
   *
   * @throws LockConfigError, or DriverUnavailableError whose `sent` is false: a failure here attaches nothing
   */
  async take(ttl: number, timeout: number): Promise<StoreLease> {
    const seconds = secondsOf(ttl);
    const spare = this.#pop(seconds) ?? (await this.#beingGranted(seconds));
    const lease = spare ?? (await this.grant(ttl, timeout));
    this.#refill(seconds);
    return lease;
  }

  /** A new lease with its whole TTL. Throws as `take` does. */
  async grant(ttl: number, timeout: number): Promise<StoreLease> {
    // Below 2^53, unlike the ids that etcd would choose.
    const id = randomBytes(6).readUIntBE(0, 6) + 1;
    const anchor = this.#clock.now();
    try {
      const { TTL } = await this.#connection.call('leaseGrant', { TTL: secondsOf(ttl), ID: id }, timeout);
      return new StoreLease(id, TTL * 1000, anchor);
    } catch (error) {
      if (!(error instanceof DriverUnavailableError)) throw error;
      throw new DriverUnavailableError(error.message, { sent: false, cause: error.cause });
    }
  }

  /** Only for a lease to which no request can still attach anything. */
  giveBack(ttl: number, lease: StoreLease): void {
    if (this.#connection.isClosed) return;
    const seconds = secondsOf(ttl);
    const idle = this.#idleOf(seconds);
    if (idle.length >= MOST_IDLE) return this.discard(lease);
    lease.usedAt = this.#clock.now();
    idle.push(lease);
    if (this.#isDue(lease)) void this.#refresh(seconds, lease);
    this.#schedule(seconds);
  }

  /** Revokes a lease, and with it everything that is attached to it. If that fails, the lease ends with its TTL. */
  discard(lease: StoreLease): void {
    if (!this.#connection.isClosed) void this.revoke(lease).catch(() => undefined);
  }

  /** As `discard`, but rejects when the end of the lease is not sure. */
  async revoke(lease: StoreLease, timeout = CALL_TIMEOUT): Promise<void> {
    try {
      await this.#connection.call('leaseRevoke', { ID: lease.id }, timeout);
    } catch (error) {
      if (!(error instanceof LeaseGoneError)) throw error;
    }
  }

  /** Revokes the idle leases. */
  async close(): Promise<void> {
    for (const timer of this.#timers.values()) timer.cancel();
    const idle = [...this.#idle.values()].flat();
    this.#idle.clear();
    await Promise.allSettled(idle.map((lease) => this.revoke(lease, 500)));
  }

  #idleOf(seconds: number): StoreLease[] {
    let idle = this.#idle.get(seconds);
    if (!idle) this.#idle.set(seconds, (idle = []));
    return idle;
  }

  #pop(seconds: number): StoreLease | undefined {
    const idle = this.#idleOf(seconds);
    for (let lease = idle.pop(); lease; lease = idle.pop()) {
      if (this.#clock.now() - lease.refreshedAt <= lease.ttl / 2) return lease;
      this.discard(lease);
    }
    return undefined;
  }

  async #beingGranted(seconds: number): Promise<StoreLease | undefined> {
    await this.#granting.get(seconds);
    return this.#pop(seconds);
  }

  /** Has one lease ready for the next claim. */
  #refill(seconds: number): void {
    if (this.#idleOf(seconds).length > 0 || this.#granting.has(seconds)) return;
    const granting = this.grant(seconds * 1000, CALL_TIMEOUT)
      .then(
        (lease) => this.giveBack(seconds * 1000, lease),
        () => undefined,
      )
      .then(() => void this.#granting.delete(seconds));
    this.#granting.set(seconds, granting);
  }

  #isDue(lease: StoreLease): boolean {
    return this.#clock.now() - lease.refreshedAt > lease.ttl / 3;
  }

  #schedule(seconds: number): void {
    if (this.#timers.has(seconds)) return;
    const timer = this.#clock.after((seconds * 1000) / 6, () => {
      this.#timers.delete(seconds);
      const idle = this.#idleOf(seconds);
      const now = this.#clock.now();
      for (const lease of idle.slice()) {
        if (now - lease.usedAt > IDLE_FOR) idle.splice(idle.indexOf(lease), 1);
        else if (this.#isDue(lease)) void this.#refresh(seconds, lease);
      }
      if (idle.length > 0) this.#schedule(seconds);
    });
    this.#timers.set(seconds, timer);
  }

  async #refresh(seconds: number, lease: StoreLease): Promise<void> {
    const anchor = this.#clock.now();
    const answer = await this.#keepAlives.send(lease.id, CALL_TIMEOUT).catch(() => undefined);
    if (!answer || lease.keptAlive(anchor, answer)) return;
    const idle = this.#idleOf(seconds);
    if (idle.includes(lease)) idle.splice(idle.indexOf(lease), 1);
  }
}
