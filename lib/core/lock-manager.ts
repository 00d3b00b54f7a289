import { Acquisition, type AcquisitionContext, type LeaseRequest } from './acquisition.js';
import type { Random } from './backoff.js';
import { findFrame, type Frame, runInside } from './call-chain.js';
import type { Clock } from './clock.js';
import { LockServiceClosedError, NestedLockError } from './errors.js';
import type { LockEventSink } from './events.js';
import { type Lease, LeaseHandle } from './lease.js';
import type { DriverEvent, DriverListener, LockDriver, LockRecord } from './lock-driver.js';
import type { Lock } from './lock.js';
import { Patience, timeUp } from './patience.js';
import { Settlements } from './settlements.js';
import { WaitingRoom } from './waiting-room.js';
import { Watchdog } from './watchdog.js';

export interface LockManagerOptions {
  readonly driver: LockDriver;
  readonly instance: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly emit: LockEventSink;
  /** Told when the store becomes reachable or unreachable. */
  readonly onStore?: (event: Extract<DriverEvent, { type: 'up' | 'down' }>) => void;
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
  readonly #emit: LockEventSink;
  readonly #room: WaitingRoom;
  readonly #watchdog: Watchdog;
  readonly #context: AcquisitionContext;
  readonly #leases = new Set<Lease>();
  /** Who waits for a lease, and whether it does so from inside a guarded call. */
  readonly #waiting = new Map<Patience, boolean>();
  readonly #settlements: Settlements;
  readonly #listener: DriverListener;
  #connection: Promise<void> | undefined;
  #isStarted = false;
  #closing = false;
  #onIdle: (() => void) | undefined;

  constructor(options: LockManagerOptions) {
    const { driver, clock, random, emit, instance } = options;
    this.instance = instance;
    this.clock = clock;
    this.random = random;
    this.#driver = driver;
    this.#emit = emit;
    this.#room = new WaitingRoom(clock);
    this.#watchdog = new Watchdog(driver, clock, random, emit);
    this.#settlements = new Settlements(clock, random);
    this.#listener = (event) => {
      if (event.type === 'freed' || event.type === 'granted') return this.#room.nudge(event.key);
      if (event.type === 'up') this.#room.nudgeAll();
      options.onStore?.(event);
    };
    this.#context = {
      driver,
      clock,
      random,
      instance,
      emit,
      room: this.#room,
      starting: () => this.#starting(),
      cancel: (claim) => void this.#settlements.settle(() => driver.cancel(claim), claim.ttl),
    };
  }

  /** Rejects when the first connection fails; the driver then goes on trying. */
  connect(): Promise<void> {
    this.#connection ??= this.#driver.connect(this.#listener);
    return this.#connection;
  }

  /** @throws LockNotAcquiredError, DriverUnavailableError, LockServiceClosedError, or the reason of the caller's signal */
  async acquire(request: AcquireRequest): Promise<LeaseHandle> {
    const [handle, refusal] = await this.#take(request);
    if (!handle) throw refusal();
    return handle;
  }

  /** Null when another holder has the key. */
  async tryAcquire(request: AcquireRequest): Promise<LeaseHandle | null> {
    const [handle] = await this.#take(request);
    return handle ?? null;
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

  /** Stops renewing a lease without releasing it: the code that it protects still runs, so it ends with its TTL. */
  abandon(lease: Lease): void {
    this.#watchdog.lose(lease, 'shutdown');
    this.#forget(lease);
  }

  /** Ends all waiting, gives the leases `grace` milliseconds to be released, abandons the others, closes the driver. */
  async close(grace: number): Promise<void> {
    this.#closing = true;
    this.#endWaiting((insideGuardedCall) => !insideGuardedCall);
    const deadline = this.clock.now() + grace;
    await this.#atMost(grace, this.#idle());
    this.#endWaiting(() => true);
    for (const lease of this.#leases) this.abandon(lease);
    await this.#atMost(deadline - this.clock.now(), this.#settlements.all());
    if (this.#connection) await this.#driver.close(this.#listener);
  }

  #starting(): Promise<void> | undefined {
    if (this.#isStarted) return undefined;
    const settled = (): void => void (this.#isStarted = true);
    return this.connect().then(settled, settled);
  }

  async #take(request: AcquireRequest) {
    const frame = findFrame(this, request.name);
    if (frame && !request.reentrant) throw new NestedLockError(request.key);
    const insideGuardedCall = findFrame(this) !== undefined;
    if (this.#closing && !insideGuardedCall) throw new LockServiceClosedError();

    const patience = new Patience(this.clock, 'wait' in request.limit ? request.limit.wait : Infinity, request.signal);
    this.#waiting.set(patience, insideGuardedCall);
    try {
      const acquisition = new Acquisition(this.#context, request, patience);
      const handle = frame ? await this.#share(frame, patience) : this.#hold(await acquisition.run());
      return [handle, () => acquisition.refusal()] as const;
    } finally {
      patience.dispose();
      this.#waiting.delete(patience);
    }
  }

  #hold(lease: Lease | undefined): LeaseHandle | undefined {
    if (!lease) return undefined;
    this.#leases.add(lease);
    this.#watchdog.watch(lease);
    return new LeaseHandle(lease, () => this.#letGo(lease));
  }

  /** A further handle for a lease that this call chain holds; siblings below one frame have it one after the other. */
  async #share(frame: Frame, patience: Patience): Promise<LeaseHandle | undefined> {
    const { lease } = frame.lock;
    const before = frame.lastChild;
    let done!: () => void;
    const own = new Promise<void>((resolve) => (done = resolve));
    frame.lastChild = before.then(() => own);
    // Counts from now on, so that the lease outlives a parent that does not wait for us.
    const handle = new LeaseHandle(lease, () => {
      done();
      return this.#letGo(lease);
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

  async #letGo(lease: Lease): Promise<void> {
    if (--lease.shares > 0) return;
    if (lease.remaining === 0) this.#watchdog.lose(lease, 'expired');
    const lost = lease.loss?.reason;
    lease.end();
    this.#watchdog.unwatch(lease);
    // After an expiry the store may still have the lease, re-armed by a renewal whose answer came late.
    if (lost === undefined || lost === 'expired') await this.#giveBack(lease);
    if (lost === undefined) {
      const { key, fencingToken, acquiredAt } = lease;
      this.#emit({ type: 'released', key, fencingToken, held: this.clock.now() - acquiredAt });
    }
    this.#forget(lease);
    this.#room.nudge(lease.claim.key);
  }

  #giveBack({ claim, stray }: Lease): Promise<void> {
    const request = (): Promise<unknown> => (stray ? this.#driver.cancel(claim) : this.#driver.release(claim));
    return this.#settlements.settle(request, claim.ttl);
  }

  #forget(lease: Lease): void {
    this.#leases.delete(lease);
    if (this.#leases.size === 0) this.#onIdle?.();
  }

  #endWaiting(which: (insideGuardedCall: boolean) => boolean): void {
    for (const [patience, inside] of this.#waiting) if (which(inside)) patience.end(new LockServiceClosedError());
  }

  #idle(): Promise<void> {
    if (this.#leases.size === 0) return Promise.resolve();
    return new Promise((resolve) => (this.#onIdle = resolve));
  }

  #atMost(milliseconds: number, work: Promise<unknown>): Promise<void> {
    return new Promise((resolve) => {
      const timer = this.clock.after(milliseconds, resolve);
      void work.then(() => {
        timer.cancel();
        resolve();
      });
    });
  }
}
