import type { Clock, Random } from '../core/clock.js';
import type { Milliseconds } from '../core/duration.js';
import type { LockEventSink } from '../core/events.js';
import { LinkedList } from '../core/linked-list.js';
import { type Claim, heartbeat, type LockDriver, type TokenBlock } from '../core/lock-driver.js';
import { settledWithin } from '../core/pause.js';
import { Hold, type Lease } from './lease.js';
import type { HoldLimits } from './lock-request.js';
import { type HoldOwner, LockHandle } from './lock.js';
import { ReleaseRetries, type Warn } from './release-retries.js';
import type { RequestGate } from './request-gate.js';
import { RestingLeases } from './resting-leases.js';
import type { WaitingRoom } from './waiting-room.js';
import { Watchdog } from './watchdog.js';

/** While others wait, an instance passes a lease on within itself this often, and for this time, at most. */
const BATCH = 16;
const BATCH_TIME: Milliseconds = 100;
const YIELD_EVERY = 64;

/**
 * The leases that this instance has from the store, from the grant to the return: renewed while they are used, passed on
 * to the next caller here where that is fair to the others, and given back otherwise.
 */
export class HeldLeases implements HoldOwner {
  readonly #driver: LockDriver;
  readonly #clock: Clock;
  readonly #emit: LockEventSink;
  readonly #room: WaitingRoom;
  readonly #gate: RequestGate;
  readonly #watchdog: Watchdog;
  readonly #releaseRetries: ReleaseRetries;
  readonly #resting: RestingLeases;
  readonly #holds = new LinkedList<Hold>();
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
    this.#watchdog = new Watchdog(driver, clock, random, emit, (lease) => room.vacate(lease));
    this.#releaseRetries = new ReleaseRetries({ clock, random, gate, warn });
    this.#resting = new RestingLeases(driver, clock);
  }

  /** A lease that was granted: from now on the instance has the key. */
  begin(lease: Lease): void {
    this.#room.occupy(lease);
    this.#watchdog.watch(lease);
  }

  /** A handle for a user of the lease; once the last one was released the lease moves on. */
  share(hold: Hold, owner: HoldOwner = this): LockHandle {
    if (!this.#holds.has(hold)) this.#holds.append(hold);
    return new LockHandle(hold, owner);
  }

  /** The times count from the grant of the hold. */
  limit(hold: Hold, { maxHold = Infinity, holdAtLeast = -Infinity }: HoldLimits): void {
    hold.endsAt = hold.acquiredAt + maxHold;
    hold.keptUntil = hold.acquiredAt + holdAtLeast;
    if (maxHold === Infinity) return;
    const left = hold.endsAt - this.#clock.now();
    hold.endTimer = this.#clock.after(left, () => this.#watchdog.lose(hold.lease, 'max-hold'));
  }

  /** The uses of leases at this moment. */
  get held(): Hold[] {
    return this.#holds.items();
  }

  /** The store may have lost leases, or may answer again. */
  verify(): void {
    this.#watchdog.verify();
    this.#releaseRetries.retry();
  }

  /** Makes sure, in the background, that a claim holds nothing and waits for nothing. */
  cancel(claim: Claim): void {
    void this.#settle(claim, () => this.#driver.cancel(claim));
  }

  /** Stops renewing a lease without releasing it: the code that it protects still runs, so it ends with its TTL. */
  abandon(hold: Hold): void {
    this.#watchdog.lose(hold.lease, 'shutdown');
    this.#forget(hold);
  }

  /** Waits until all leases were released, abandons those that were not in time, and waits for releases under way. */
  async close(grace: Milliseconds): Promise<void> {
    this.#closing = true;
    const deadline = this.#clock.now() + grace;
    await settledWithin(this.#clock, grace, this.#idle());
    for (const hold of this.#holds.items()) this.abandon(hold);
    await settledWithin(this.#clock, deadline - this.#clock.now(), this.#releaseRetries.all());
    this.#resting.close();
  }

  async letGo(hold: Hold): Promise<void> {
    // 1. The last handle of the hold ends it.
    if (--hold.shares > 0) return;
    const { key, fencingToken, election, acquiredAt, lease, keptUntil } = hold;
    const now = this.#clock.now();
    if (lease.remainingAt(now) === 0) this.#watchdog.lose(lease, 'expired');
    hold.end();
    hold.endTimer?.cancel();
    // 2. The next caller of this instance gets the lease, or the store gets it back. Nobody does before `holdAtLeast`.
    const mayPassOn = !hold.loss && now >= keptUntil && this.#mayPassOn(lease, now);
    const passedOn = mayPassOn && (await this.#passOn(lease));
    if (!passedOn) await this.#giveBack(lease, keptUntil);
    if (!hold.loss) this.#emit({ type: 'released', key, fencingToken, election, held: now - acquiredAt });
    this.#forget(hold);
  }

  /** Lets the next caller of this instance use the lease, without the store, with the next token. */
  async #passOn(lease: Lease): Promise<boolean> {
    lease.passed++;
    // Callers that do nothing but pass a lease on must not starve timers, renewals among them.
    if (lease.passed % YIELD_EVERY === 0) await new Promise((resolve) => setImmediate(resolve));
    const token = lease.tokens.take() ?? (await this.#reserveToken(lease));
    const seat = this.#room.first(lease.claim.key);
    const now = this.#clock.now();
    if (token === undefined || !seat || !this.#mayPassOn(lease, now)) return false;
    const next = new Hold(seat.wish.key, lease, token, now);
    this.#holds.append(next);
    seat.hand(next);
    return true;
  }

  /**
   * While no other instance is known to wait, the instance keeps the key as long as it has callers for it; otherwise it
   * passes the lease on a few times only. A lease that is not renewed in time is given back, also where callers wait.
   */
  #mayPassOn(lease: Lease, now: number): boolean {
    const seat = this.#room.first(lease.claim.key);
    if (!seat || this.#closing || lease.remainingAt(now) < 2 * heartbeat(lease.claim.ttl)) return false;
    const batchIsOver = lease.passed >= BATCH - 1 || now - lease.since > BATCH_TIME;
    return seat.fits(lease) && !(lease.waiters > 0 && batchIsOver);
  }

  async #reserveToken(lease: Lease): Promise<number | undefined> {
    const { claim } = lease;
    const tokens = this.#room.tokensFor(claim.key);
    const reserve = (): Promise<TokenBlock | null> => this.#driver.reserve!(claim, tokens);
    const block = this.#driver.reserve && (await this.#gate.sendUrgent(reserve).catch(() => null));
    if (block) lease.tokens.add(block);
    return lease.tokens.take();
  }

  async #giveBack(lease: Lease, keptUntil: number): Promise<void> {
    // After an expiry the store may still have the lease: a renewal whose answer came late has armed it again.
    const isInStore = lease.loss === undefined || lease.loss === 'expired' || lease.loss === 'max-hold';
    this.#watchdog.unwatch(lease);
    lease.end();
    const returned = isInStore ? this.#return(lease, keptUntil) : undefined;
    // Once the request is on its way: the next caller here gets in line behind those who wait in the store.
    this.#room.vacate(lease);
    await returned;
    if (!this.#driver.capabilities.push) this.#room.nudge(lease.claim.key);
  }

  /** Releases the lease, or lets it rest until `holdAtLeast` is over. */
  #return(lease: Lease, keptUntil: number): Promise<void> {
    const { claim, stray, successor } = lease;
    const release = (): Promise<void> =>
      this.#settle(claim, () => (stray ? this.#driver.cancel(claim) : this.#driver.release(claim, successor)));
    if (keptUntil <= this.#clock.now()) return release();
    this.#resting.add(keptUntil, () => {
      void release().then(() => this.#room.nudge(claim.key));
    });
    return this.#settle(claim, () => this.#resting.arm(claim, keptUntil));
  }

  #settle({ key, ttl }: Claim, request: () => Promise<unknown>): Promise<void> {
    return this.#releaseRetries.settle(request, ttl, this.#driver.renewalGroup?.(key));
  }

  #forget(hold: Hold): void {
    this.#holds.remove(hold);
    if (!this.#holds.first) this.#onIdle?.();
  }

  #idle(): Promise<void> {
    if (!this.#holds.first) return Promise.resolve();
    return new Promise((resolve) => (this.#onIdle = resolve));
  }
}
