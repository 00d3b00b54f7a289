import type { Clock, Random } from '../core/clock.js';
import type { Milliseconds } from '../core/duration.js';
import { LockServiceClosedError } from '../core/errors.js';
import type { LockEventSink } from '../core/events.js';
import type { FactStore } from '../core/fact-store.js';
import { guarded } from '../core/guarded.js';
import type { DriverEvent, LockDriver, LockRecord } from '../core/lock-driver.js';
import { NestedLockError } from '../core/lock-errors.js';
import { Acquisition, type AcquisitionContext } from './acquisition.js';
import { findFrame, runInside, shareLease } from './call-chain.js';
import { CallSites } from './call-site.js';
import { CheckedDriver } from './checked-driver.js';
import { ForgottenLocks } from './forgotten-locks.js';
import { Heartbeats } from './heartbeats.js';
import { HeldLeases } from './held-leases.js';
import type { Hold } from './lease.js';
import type { AcquireRequest } from './lock-request.js';
import type { Lock, LockHandle } from './lock.js';
import { RequestGate } from './request-gate.js';
import { StoreConnection } from './store-connection.js';
import { WaitingCallers, type WaitingLimits } from './wait-limit.js';
import { WaitingRoom } from './waiting-room.js';

/** Measured: fewer leave a Redis idle, more only wait in buffers. */
const REQUESTS = 512;

export interface LockManagerOptions {
  readonly driver: LockDriver;
  readonly instance: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly emit: LockEventSink;
  /** Requests that are under way at once, renewals aside. */
  readonly requests?: number;
  /** Called when the store becomes reachable or unreachable, and with warnings for an operator. */
  readonly onStore?: (event: Extract<DriverEvent, { type: 'up' | 'down' | 'warning' }>) => void;
  /** Default: no limit. */
  readonly limits?: WaitingLimits | undefined;
  /** Time after which a lock that is still held is reported; default: 10 TTLs, where the caller releases it. */
  readonly warnAfter?: Milliseconds | undefined;
}

/**
 * Acquires, keeps and gives back the leases of one instance over one driver. A call chain asks once for a key: asking
 * again from inside a guarded call shares the lease when the caller wants that, and is an error otherwise.
 */
export class LockManager {
  readonly instance: string;
  readonly clock: Clock;
  readonly random: Random;

  /** Where callers acquire. */
  readonly callSites = new CallSites();

  readonly #context: AcquisitionContext;
  readonly #forgotten: ForgottenLocks;
  readonly #callers: WaitingCallers;
  #closing = false;

  constructor(options: LockManagerOptions) {
    const { clock, random, instance, limits, warnAfter } = options;
    const emit = guarded('a listener of lock events', options.emit);
    const onStore = guarded('a listener of the store', options.onStore ?? (() => undefined));
    const warn = (message: string): void => onStore({ type: 'warning', message });
    const driver = new CheckedDriver(options.driver, warn);
    this.instance = instance;
    this.clock = clock;
    this.random = random;
    const store = new StoreConnection(driver, clock, (event) => {
      if (event.type === 'up' || event.type === 'down' || event.type === 'warning') onStore(event);
      this.#heard(event);
    });
    const room = new WaitingRoom(clock);
    const gate = new RequestGate(options.requests ?? REQUESTS);
    const heldLeases = new HeldLeases(driver, clock, random, emit, room, gate, warn);
    const heartbeats = new Heartbeats(driver, clock, random);
    const { callSites } = this;
    this.#context = { driver, clock, random, instance, emit, store, room, gate, heldLeases, heartbeats, callSites };
    this.#callers = new WaitingCallers(clock, limits);
    this.#forgotten = new ForgottenLocks(clock, callSites, warnAfter, () => heldLeases.held, warn);
  }

  /** Rejects when the first connection fails; the driver then goes on trying. */
  connect(): Promise<void> {
    return this.#context.store.connect();
  }

  /** @throws LockNotAcquiredError, DriverUnavailableError, LockServiceClosedError, or the reason of the caller's signal */
  acquire(request: AcquireRequest): Promise<LockHandle> {
    return this.#take(request, raiseRefusal);
  }

  /** Null when another holder has the key. */
  tryAcquire(request: AcquireRequest): Promise<LockHandle | null> {
    return this.#take(request, () => null);
  }

  /** Runs `task` as a guarded call; a failing release never replaces its result or error. */
  async withLock<T>(request: AcquireRequest, task: (lock: Lock) => T | Promise<T>): Promise<T> {
    const handle = await this.#take(request, raiseRefusal, true);
    try {
      return await runInside(this, handle, () => task(handle));
    } finally {
      await handle.release();
    }
  }

  inspect(storeKey: string): Promise<LockRecord | null> {
    return this.#context.driver.inspect(storeKey);
  }

  get facts(): FactStore | undefined {
    return this.#context.driver.facts;
  }

  /** Can a release prefer one of the waiting instances? */
  get hasQueue(): boolean {
    return this.#context.driver.capabilities.queue;
  }

  /** As the driver reported last. */
  get isStoreDown(): boolean {
    return this.#context.store.downSince !== undefined;
  }

  /** Stops renewing a lease without releasing it: the code that it protects still runs, so it ends with its TTL. */
  abandon(hold: Hold): void {
    this.#context.heldLeases.abandon(hold);
  }

  /** Ends all waiting, gives the leases the time `grace` to be released, abandons the others, closes the driver. */
  async close(grace: Milliseconds): Promise<void> {
    this.#closing = true;
    this.#callers.end(new LockServiceClosedError(), ({ insideGuardedCall }) => !insideGuardedCall);
    await this.#context.heldLeases.close(grace);
    this.#callers.end(new LockServiceClosedError(), () => true);
    await this.#context.store.close();
  }

  #heard(event: DriverEvent): void {
    const { store, room, heartbeats, heldLeases } = this.#context;
    store.heard(event);
    if (event.type === 'granted') room.nudge(event.key, event);
    if (event.type === 'freed') room.nudge(event.key);
    if (event.type === 'up') {
      room.nudgeAll();
      heartbeats.verify();
      heldLeases.verify();
    }
    if (event.type === 'contended') room.contended(event.key);
  }

  async #take<T>(
    request: AcquireRequest,
    refused: (acquisition: Acquisition) => T,
    isGuarded = false,
  ): Promise<LockHandle | T> {
    const { key, storeKey, limit, signal, isBackground } = request;
    // 1. Is this call chain inside of a guarded call, and does it hold the key already?
    const insideGuardedCall = findFrame(this) !== undefined;
    const frame = insideGuardedCall ? findFrame(this, storeKey) : undefined;
    if (frame && !request.reentrant) throw new NestedLockError(key, frame.lock.hold.facts());
    // 2. A closing service takes new locks for guarded code only.
    if (this.#closing && !insideGuardedCall) throw new LockServiceClosedError();

    // 3. From here on the limit of the wait ends whatever takes too long.
    const now = this.clock.now();
    const wait = 'wait' in limit ? limit.wait : Infinity;
    const waitLimit = this.#callers.add({ key, storeKey, wait, signal, insideGuardedCall, isBackground }, now);
    try {
      const acquisition = new Acquisition(this.#context, request, waitLimit, now);
      // 4. Share the lease of the call chain, or acquire one.
      if (frame) return (await shareLease(frame, this.#context.heldLeases, waitLimit)) ?? refused(acquisition);
      const hold = await acquisition.run();
      return hold ? this.#handOut(hold, request, isGuarded) : refused(acquisition);
    } finally {
      waitLimit.dispose();
    }
  }

  #handOut(hold: Hold, request: AcquireRequest, isGuarded: boolean): LockHandle {
    const { heldLeases } = this.#context;
    const { callSite, isBackground = false } = request;
    heldLeases.limit(hold, request);
    hold.isBackground = isBackground;
    if (isBackground) return heldLeases.share(hold);
    hold.callSite = callSite;
    hold.isGuarded = isGuarded;
    this.#forgotten.watch(hold);
    return isGuarded ? heldLeases.share(hold) : this.#forgotten.handOut(hold, heldLeases);
  }
}

function raiseRefusal(acquisition: Acquisition): never {
  throw acquisition.refusal();
}
