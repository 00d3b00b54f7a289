import { Acquisition, type AcquisitionContext, type LeaseRequest } from './acquisition.js';
import type { Random } from './backoff.js';
import { findFrame, type Frame, runInside } from './call-chain.js';
import type { Clock } from './clock.js';
import { LockServiceClosedError, NestedLockError } from './errors.js';
import type { LockEventSink } from './events.js';
import { Holdings } from './holdings.js';
import type { Lease, LeaseHandle } from './lease.js';
import type { DriverEvent, DriverListener, LockDriver, LockRecord } from './lock-driver.js';
import type { Lock } from './lock.js';
import { type Patience, timeUp, WaitingCallers } from './patience.js';
import type { Registry } from './registry.js';
import { RequestGate } from './request-gate.js';
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
}

export interface AcquireRequest extends LeaseRequest {
  readonly reentrant?: boolean | undefined;
}

/**
 * Acquires, keeps and gives back the leases of one instance over one driver. A key is asked for once per call chain:
 * asking again from inside a guarded call shares the lease when the caller says so, and is an error otherwise.
 */
export class LockManager {
  readonly instance: string;
  readonly clock: Clock;
  readonly random: Random;

  readonly #driver: LockDriver;
  readonly #room: WaitingRoom;
  readonly #holdings: Holdings;
  readonly #context: AcquisitionContext;
  readonly #callers: WaitingCallers;
  readonly #listener: DriverListener;
  #connection: Promise<void> | undefined;
  #isStarted = false;
  #closing = false;

  constructor(options: LockManagerOptions) {
    const { driver, clock, random, emit, instance } = options;
    this.instance = instance;
    this.clock = clock;
    this.random = random;
    this.#driver = driver;
    this.#callers = new WaitingCallers(clock);
    this.#room = new WaitingRoom(clock);
    const gate = new RequestGate(options.requests ?? REQUESTS);
    const warn = (message: string): void => options.onStore?.({ type: 'warning', message });
    this.#holdings = new Holdings(driver, clock, random, emit, this.#room, gate, warn);
    this.#listener = (event) => {
      if (event.type === 'up' || event.type === 'down' || event.type === 'warning') options.onStore?.(event);
      this.#heard(event);
    };
    this.#context = {
      driver,
      clock,
      random,
      instance,
      emit,
      room: this.#room,
      holdings: this.#holdings,
      gate,
      starting: () => this.#starting(),
    };
  }

  /** Rejects when the first connection fails; the driver then goes on trying. */
  connect(): Promise<void> {
    this.#connection ??= this.#driver.connect(this.#listener);
    return this.#connection;
  }

  /** @throws LockNotAcquiredError, DriverUnavailableError, LockServiceClosedError, or the reason of the caller's signal */
  acquire(request: AcquireRequest): Promise<LeaseHandle> {
    return this.#take(request, raiseRefusal);
  }

  /** Null when another holder has the key. */
  tryAcquire(request: AcquireRequest): Promise<LeaseHandle | null> {
    return this.#take(request, () => null);
  }

  /** Runs `task` as a guarded call; a failing release never replaces its result or error. */
  async withLock<T>(request: AcquireRequest, task: (lock: Lock) => T | Promise<T>): Promise<T> {
    const handle = await this.acquire(request);
    try {
      return await runInside(this, handle, () => task(handle));
    } finally {
      await handle.release();
    }
  }

  inspect(name: string): Promise<LockRecord | null> {
    return this.#driver.inspect(name);
  }

  get registry(): Registry | undefined {
    return this.#driver.registry;
  }

  /** Whether a release can prefer one of those who wait. */
  get hasQueue(): boolean {
    return this.#driver.capabilities.queue;
  }

  /** Stops renewing a lease without releasing it: the code that it protects still runs, so it ends with its TTL. */
  abandon(lease: Lease): void {
    this.#holdings.abandon(lease);
  }

  /** Ends all waiting, gives the leases `grace` milliseconds to be released, abandons the others, closes the driver. */
  async close(grace: number): Promise<void> {
    this.#closing = true;
    this.#callers.end(new LockServiceClosedError(), ({ insideGuardedCall }) => !insideGuardedCall);
    await this.#holdings.close(grace);
    this.#callers.end(new LockServiceClosedError(), () => true);
    if (this.#connection) await this.#driver.close(this.#listener);
  }

  #heard(event: DriverEvent): void {
    if (event.type === 'granted') this.#room.nudge(event.key, event);
    if (event.type === 'freed') this.#room.nudge(event.key);
    if (event.type === 'up') {
      this.#room.nudgeAll();
      this.#holdings.verify();
    }
    if (event.type === 'contended') this.#room.contended(event.key);
  }

  #starting(): Promise<void> | undefined {
    if (this.#isStarted) return undefined;
    const settled = (): void => void (this.#isStarted = true);
    return this.connect().then(settled, settled);
  }

  async #take<T>(request: AcquireRequest, refused: (acquisition: Acquisition) => T): Promise<LeaseHandle | T> {
    const { name, limit, signal } = request;
    const insideGuardedCall = findFrame(this) !== undefined;
    const frame = insideGuardedCall ? findFrame(this, name) : undefined;
    if (frame && !request.reentrant) throw new NestedLockError(request.key);
    if (this.#closing && !insideGuardedCall) throw new LockServiceClosedError();

    const now = this.clock.now();
    const patience = this.#callers.add(now, 'wait' in limit ? limit.wait : Infinity, signal, insideGuardedCall);
    try {
      const acquisition = new Acquisition(this.#context, request, patience, now);
      if (frame) return (await this.#share(frame, patience)) ?? refused(acquisition);
      const lease = await acquisition.run();
      return lease ? this.#holdings.share(lease) : refused(acquisition);
    } finally {
      patience.dispose();
    }
  }

  /** A further handle for a lease that this call chain holds; siblings below one frame have it one after the other. */
  async #share(frame: Frame, patience: Patience): Promise<LeaseHandle | undefined> {
    const { lease } = frame.lock;
    const before = frame.lastChild;
    let done!: () => void;
    const own = new Promise<void>((resolve) => (done = resolve));
    frame.lastChild = before.then(() => own);
    // Counts from now on, so that the lease outlives a parent that does not wait for us.
    const handle = this.#holdings.share(lease, {
      letGo: (shared) => {
        done();
        return this.#holdings.letGo(shared);
      },
    });
    try {
      await patience.bound(before);
      handle.ensure();
      return handle;
    } catch (error) {
      await handle.release();
      if (error === timeUp) return undefined;
      throw error;
    }
  }
}

function raiseRefusal(acquisition: Acquisition): never {
  throw acquisition.refusal();
}
