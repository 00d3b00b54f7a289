import type { Random } from './backoff.js';
import type { Clock } from './clock.js';
import type { LockEventSink } from './events.js';
import { Lease } from './lease.js';
import { LeaseHandle } from './lock-handle.js';
import { type LeaseOwner } from './lock-handle.js';
import { LinkedList } from './linked-list.js';
import { type Claim, heartbeat, type LockDriver, type TokenBlock } from './lock-driver.js';
import type { RequestGate } from './request-gate.js';
import { Settlements, type Warn } from './settlements.js';
import type { Tenure } from './lease.js';
import type { WaitingRoom } from './waiting-room.js';
import { Watchdog } from './watchdog.js';

/** How often, and for how many milliseconds, an instance passes a lease on within itself while others wait. */
const BATCH = 16;
const BATCH_TIME = 100;
const YIELD_EVERY = 64;

/**
 * What this instance has from the store, from the grant to the return: renewed while it is used, passed on to the next
 * caller here where that is fair to the others, and given back otherwise.
 */
export class Holdings implements LeaseOwner {
  readonly #driver: LockDriver;
  readonly #clock: Clock;
  readonly #emit: LockEventSink;
  readonly #room: WaitingRoom;
  readonly #gate: RequestGate;
  readonly #watchdog: Watchdog;
  readonly #settlements: Settlements;
  readonly #leases = new LinkedList<Lease>();
  #closing = false;
  #onIdle: (() => void) | undefined;

  constructor(
    driver: LockDriver,
    clock: Clock,
    random: Random,
    emit: LockEventSink,
    room: WaitingRoom,
    gate: RequestGate,
    warn: Warn,
  ) {
    this.#driver = driver;
    this.#clock = clock;
    this.#emit = emit;
    this.#room = room;
    this.#gate = gate;
    this.#watchdog = new Watchdog(driver, clock, random, emit, (tenure) => room.vacate(tenure));
    this.#settlements = new Settlements({ clock, random, gate, warn });
  }

  begin(tenure: Tenure): void {
    this.#room.occupy(tenure);
    this.#watchdog.watch(tenure);
  }

  /** A handle for a user of the lease; once the last one was released the lease moves on. */
  share(lease: Lease, owner: LeaseOwner = this): LeaseHandle {
    if (!this.#leases.has(lease)) this.#leases.append(lease);
    return new LeaseHandle(lease, owner);
  }

  /** What is in use. */
  get held(): Lease[] {
    return this.#leases.items();
  }

  /** The store may have lost what it granted. */
  verify(): void {
    this.#watchdog.verify();
    this.#settlements.retry();
  }

  /** Makes sure, in the background, that a claim holds nothing and waits for nothing. */
  cancel(claim: Claim): void {
    void this.#settle(claim, () => this.#driver.cancel(claim));
  }

  /** Stops renewing a lease without releasing it: the code that it protects still runs, so it ends with its TTL. */
  abandon(lease: Lease): void {
    this.#watchdog.lose(lease.tenure, 'shutdown');
    this.#forget(lease);
  }

  /** Waits until all leases were released, abandons those that were not in time, and lets what is under way settle. */
  async close(grace: number): Promise<void> {
    this.#closing = true;
    const deadline = this.#clock.now() + grace;
    await this.#atMost(grace, this.#idle());
    for (const lease of this.#leases.items()) this.abandon(lease);
    await this.#atMost(deadline - this.#clock.now(), this.#settlements.all());
  }

  async letGo(lease: Lease): Promise<void> {
    if (--lease.shares > 0) return;
    const { key, fencingToken, election, acquiredAt, tenure } = lease;
    const now = this.#clock.now();
    if (tenure.remainingAt(now) === 0) this.#watchdog.lose(tenure, 'expired');
    lease.end();
    const passedOn = !lease.loss && this.#mayPassOn(tenure, now) && (await this.#passOn(tenure));
    if (!passedOn) await this.#giveBack(tenure);
    if (!lease.loss) this.#emit({ type: 'released', key, fencingToken, election, held: now - acquiredAt });
    this.#forget(lease);
  }

  /** Lets the next caller of this instance use the tenure, without the store, with the next token. */
  async #passOn(tenure: Tenure): Promise<boolean> {
    tenure.passed++;
    // Callers that do nothing but pass a lease on must not starve timers, renewals among them.
    if (tenure.passed % YIELD_EVERY === 0) await new Promise((resolve) => setImmediate(resolve));
    const token = tenure.takeToken() ?? (await this.#reserveToken(tenure));
    const seat = this.#room.first(tenure.claim.key);
    const now = this.#clock.now();
    if (token === undefined || !seat || !this.#mayPassOn(tenure, now)) return false;
    const next = new Lease(seat.wish.key, tenure, token, now);
    this.#leases.append(next);
    seat.hand(next);
    return true;
  }

  /**
   * While nobody else is known to wait, the instance keeps the key as long as it has callers for it; else it passes it
   * on a few times only. A tenure that is not renewed in time is given back, whoever waits here.
   */
  #mayPassOn(tenure: Tenure, now: number): boolean {
    const seat = this.#room.first(tenure.claim.key);
    if (!seat || this.#closing || tenure.remainingAt(now) < 2 * heartbeat(tenure.claim.ttl)) return false;
    const batchIsOver = tenure.passed >= BATCH - 1 || now - tenure.since > BATCH_TIME;
    return seat.fits(tenure) && !(tenure.waiters > 0 && batchIsOver);
  }

  async #reserveToken(tenure: Tenure): Promise<number | undefined> {
    const { claim } = tenure;
    const tokens = this.#room.tokensFor(claim.key);
    const reserve = (): Promise<TokenBlock | null> => this.#driver.reserve!(claim, tokens);
    const block = this.#driver.reserve && (await this.#gate.sendUrgent(reserve).catch(() => null));
    if (block) tenure.addTokens(block);
    return tenure.takeToken();
  }

  async #giveBack(tenure: Tenure): Promise<void> {
    const { claim, stray } = tenure;
    // After an expiry the store may still have the lease, re-armed by a renewal whose answer came late.
    const isInStore = tenure.loss === undefined || tenure.loss === 'expired';
    this.#watchdog.unwatch(tenure);
    tenure.end();
    const request = (): Promise<unknown> =>
      stray ? this.#driver.cancel(claim) : this.#driver.release(claim, tenure.successor);
    const released = isInStore ? this.#settle(claim, request) : undefined;
    // Once the release is on its way: the next caller here gets in line behind those who wait in the store.
    this.#room.vacate(tenure);
    await released;
    if (!this.#driver.capabilities.push) this.#room.nudge(claim.key);
  }

  #settle({ key, ttl }: Claim, request: () => Promise<unknown>): Promise<void> {
    return this.#settlements.settle(request, ttl, this.#driver.renewalGroup?.(key));
  }

  #forget(lease: Lease): void {
    this.#leases.remove(lease);
    if (!this.#leases.first) this.#onIdle?.();
  }

  #idle(): Promise<void> {
    if (!this.#leases.first) return Promise.resolve();
    return new Promise((resolve) => (this.#onIdle = resolve));
  }

  #atMost(milliseconds: number, work: Promise<unknown>): Promise<void> {
    return new Promise((resolve) => {
      // Whoever closes the service awaits it.
      const timer = this.#clock.after(milliseconds, resolve, true);
      void work.then(() => {
        timer.cancel();
        resolve();
      });
    });
  }
}
