import type { Clock, Random } from '../core/clock.js';
import { LockServiceClosedError, NestedLockError } from '../core/errors.js';
import type { LockEventSink } from '../core/events.js';
import type { FactStore } from '../core/fact-store.js';
import { guarded } from '../core/guarded.js';
import type { DriverEvent, DriverListener, LockDriver, LockRecord } from '../core/lock-driver.js';
import { Acquisition, type AcquisitionContext, type LeaseRequest } from './acquisition.js';
import { findFrame, type Frame, runInside } from './call-chain.js';
import { type CallSite, CallSites } from './call-site.js';
import { CheckedDriver } from './checked-driver.js';
import { ForgottenLocks } from './forgotten-locks.js';
import { Heartbeats } from './heartbeats.js';
import { HeldLeases } from './held-leases.js';
import type { Hold } from './lease.js';
import type { LockHandle } from './lock-handle.js';
import type { Lock } from './lock.js';
import { RequestGate } from './request-gate.js';
import { StoreStatus } from './store-status.js';
import { WAIT_IS_OVER, WaitingCallers, type WaitingLimits, type WaitLimit } from './wait-limit.js';
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
  /** Told when the store becomes reachable or unreachable, and of what an operator should mend. */
  readonly onStore?: (event: Extract<DriverEvent, { type: 'up' | 'down' | 'warning' }>) => void;
  /** Default: no limit. */
  readonly limits?: WaitingLimits | undefined;
  /** Milliseconds after which a lock that is still held is reported; default: 10 TTLs, where the caller releases it. */
  readonly warnAfter?: number | undefined;
}

export interface AcquireRequest extends LeaseRequest {
  readonly reentrant?: boolean | undefined;
  /** Where the caller is. */
  readonly callSite?: CallSite | undefined;
}

/**
 * Acquires, keeps and gives back the leases of one instance over one driver. A key is asked for once per call chain:
 * asking again from inside a guarded call shares the lease when the caller says so, and is an error otherwise.
 */
export class LockManager {
  readonly instance: string;
  readonly clock: Clock;
  readonly random: Random;

  /** Where callers acquire. */
  readonly callSites = new CallSites();

  readonly #driver: LockDriver;
  readonly #store: StoreStatus;
  readonly #forgotten: ForgottenLocks;
  readonly #room: WaitingRoom;
  readonly #heldLeases: HeldLeases;
  readonly #heartbeats: Heartbeats;
  readonly #context: AcquisitionContext;
  readonly #callers: WaitingCallers;
  readonly #listener: DriverListener;
  #connection: Promise<void> | undefined;
  #isStarted = false;
  #closing = false;

  constructor(options: LockManagerOptions) {
    const { clock, random, instance } = options;
    const emit = guarded('a listener of lock events', options.emit);
    const onStore = guarded('a listener of the store', options.onStore ?? (() => undefined));
    const warn = (message: string): void => onStore({ type: 'warning', message });
    const driver = new CheckedDriver(options.driver, warn);
    this.instance = instance;
    this.clock = clock;
    this.random = random;
    this.#driver = driver;
    this.#store = new StoreStatus(clock);
    this.#callers = new WaitingCallers(clock, options.limits);
    this.#room = new WaitingRoom(clock);
    const gate = new RequestGate(options.requests ?? REQUESTS);
    this.#heldLeases = new HeldLeases(driver, clock, random, emit, this.#room, gate, warn);
    this.#heartbeats = new Heartbeats(driver, clock, random);
    this.#forgotten = new ForgottenLocks(clock, this.callSites, options.warnAfter, () => this.#heldLeases.held, warn);
    this.#listener = (event) => {
      if (event.type === 'up' || event.type === 'down' || event.type === 'warning') onStore(event);
      this.#heard(event);
    };
    this.#context = {
      driver,
      clock,
      random,
      instance,
      emit,
      room: this.#room,
      heldLeases: this.#heldLeases,
      heartbeats: this.#heartbeats,
      store: this.#store,
      callSites: this.callSites,
      gate,
      starting: () => this.#starting(),
    };
  }

  /** Rejects when the first connection fails; the driver then goes on trying. */
  connect(): Promise<void> {
    this.#connection ??= this.#driver.connect(this.#listener).catch((cause: Error) => {
      this.#store.heard({ type: 'down', cause });
      throw cause;
    });
    return this.#connection;
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
    return this.#driver.inspect(storeKey);
  }

  get facts(): FactStore | undefined {
    return this.#driver.facts;
  }

  /** Whether a release can prefer one of those who wait. */
  get hasQueue(): boolean {
    return this.#driver.capabilities.queue;
  }

  /** As far as the driver told. */
  get isStoreDown(): boolean {
    return this.#store.downSince !== undefined;
  }

  /** Stops renewing a lease without releasing it: the code that it protects still runs, so it ends with its TTL. */
  abandon(hold: Hold): void {
    this.#heldLeases.abandon(hold);
  }

  /** Ends all waiting, gives the leases `grace` milliseconds to be released, abandons the others, closes the driver. */
  async close(grace: number): Promise<void> {
    this.#closing = true;
    this.#callers.end(new LockServiceClosedError(), ({ insideGuardedCall }) => !insideGuardedCall);
    await this.#heldLeases.close(grace);
    this.#callers.end(new LockServiceClosedError(), () => true);
    if (this.#connection) await this.#driver.close(this.#listener);
  }

  #heard(event: DriverEvent): void {
    this.#store.heard(event);
    if (event.type === 'granted') this.#room.nudge(event.key, event);
    if (event.type === 'freed') this.#room.nudge(event.key);
    if (event.type === 'up') {
      this.#room.nudgeAll();
      this.#heartbeats.verify();
      this.#heldLeases.verify();
    }
    if (event.type === 'contended') this.#room.contended(event.key);
  }

  #starting(): Promise<void> | undefined {
    if (this.#isStarted) return undefined;
    const settled = (): void => void (this.#isStarted = true);
    return this.connect().then(settled, settled);
  }

  async #take<T>(
    request: AcquireRequest,
    refused: (acquisition: Acquisition) => T,
    isGuarded = false,
  ): Promise<LockHandle | T> {
    const { key, storeKey, limit, signal, isBackground } = request;
    const insideGuardedCall = findFrame(this) !== undefined;
    const frame = insideGuardedCall ? findFrame(this, storeKey) : undefined;
    if (frame && !request.reentrant) throw new NestedLockError(key, frame.lock.hold.facts());
    if (this.#closing && !insideGuardedCall) throw new LockServiceClosedError();

    const now = this.clock.now();
    const wait = 'wait' in limit ? limit.wait : Infinity;
    const waitLimit = this.#callers.add({ key, storeKey, wait, signal, insideGuardedCall, isBackground }, now);
    try {
      const acquisition = new Acquisition(this.#context, request, waitLimit, now);
      if (frame) return (await this.#share(frame, waitLimit)) ?? refused(acquisition);
      const hold = await acquisition.run();
      return hold ? this.#handOut(hold, request, isGuarded) : refused(acquisition);
    } finally {
      waitLimit.dispose();
    }
  }

  #handOut(hold: Hold, { callSite, isBackground = false }: AcquireRequest, isGuarded: boolean): LockHandle {
    if (isBackground) {
      hold.isBackground = true;
      return this.#heldLeases.share(hold);
    }
    hold.callSite = callSite;
    hold.isGuarded = isGuarded;
    this.#forgotten.watch(hold);
    if (isGuarded) return this.#heldLeases.share(hold);
    return this.#forgotten.handOut(hold, this.#heldLeases, (shared, owner) => this.#heldLeases.share(shared, owner));
  }

  /** A further handle for a lease that this call chain holds; siblings below one frame have it one after the other. */
  async #share(frame: Frame, waitLimit: WaitLimit): Promise<LockHandle | undefined> {
    const { hold } = frame.lock;
    const before = frame.lastChild;
    let done!: () => void;
    const own = new Promise<void>((resolve) => (done = resolve));
    frame.lastChild = before.then(() => own);
    // Counts from now on, so that the lease outlives a parent that does not wait for us.
    const handle = this.#heldLeases.share(hold, {
      letGo: (shared) => {
        done();
        return this.#heldLeases.letGo(shared);
      },
    });
    try {
      await waitLimit.wait(before);
      handle.ensure();
      return handle;
    } catch (error) {
      await handle.release();
      if (error === WAIT_IS_OVER) return undefined;
      throw error;
    }
  }
}

function raiseRefusal(acquisition: Acquisition): never {
  throw acquisition.refusal();
}
