import type { Clock, Timer } from '../../lib/core/clock.js';
import type { AcquireMode, Claim, DriverListener, LeaseRef, LockDriver, PlaceRef } from '../../lib/core/lock-driver.js';
import { MemoryDriver } from '../../lib/drivers/memory/memory.driver.js';
import { LockManager } from '../../lib/locks/lock-manager.js';
import type { Lock } from '../../lib/locks/lock.js';
import { ManualClock } from '../../lib/testing/manual-clock.js';
import { randomFrom } from '../support/engine/seeded-random.js';

/**
 * Several instances of the real engine over one store, in virtual time. Messages are delayed, reordered and lost,
 * instances are paused, their clocks run at different rates: all drawn from one seed, so that a seed replays exactly.
 */
export interface SimulationOptions {
  readonly seed: number;
  /** Virtual milliseconds. */
  readonly duration?: number;
  readonly ttl?: number;
}

export interface SimulationResult {
  /** Locks that callers got. */
  readonly grants: number;
  readonly lost: number;
  /** Moments at which the store granted the key to one instance while another still believed to hold it. */
  readonly beliefs: number;
  /** Grants whose token was not above that of the grant before. */
  readonly disorder: number;
  /** A digest of all that happened. */
  readonly trace: string;
}

const KEY = 'sim:l:k';

/** One process: a clock of its own rate, which stops delivering while the process is paused. */
class Process implements Clock {
  readonly #world: ManualClock;
  readonly #rate: number;
  #backlog: (() => void)[] | undefined;

  constructor(world: ManualClock, rate: number) {
    this.#world = world;
    this.#rate = rate;
  }

  now(): number {
    return this.#world.now() * this.#rate;
  }

  wall(): number {
    return this.#world.wall();
  }

  after(milliseconds: number, task: () => void): Timer {
    let cancelled = false;
    const timer = this.#world.after(milliseconds / this.#rate, () => this.deliver(() => cancelled || task()));
    return {
      cancel: () => {
        cancelled = true;
        timer.cancel();
      },
    };
  }

  deliver(task: () => void): void {
    if (this.#backlog) this.#backlog.push(task);
    else task();
  }

  pause(): void {
    this.#backlog ??= [];
  }

  resume(): void {
    const backlog = this.#backlog ?? [];
    this.#backlog = undefined;
    for (const task of backlog) task();
  }

  sleep(milliseconds: number): Promise<void> {
    return new Promise((resolve) => void this.after(milliseconds, resolve));
  }
}

/** The way between one process and the store. */
class Network implements LockDriver {
  readonly name = 'simulated';

  constructor(
    private readonly store: LockDriver,
    private readonly world: ManualClock,
    private readonly process: Process,
    private readonly random: () => number,
    private readonly onExecuted: () => Promise<void>,
  ) {}

  get capabilities(): LockDriver['capabilities'] {
    return this.store.capabilities;
  }

  connect(listener: DriverListener): Promise<void> {
    return this.store.connect((event) => {
      if (this.random() > 0.2) this.world.after(this.#delay(), () => this.process.deliver(() => listener(event)));
    });
  }

  acquire(claim: Claim, mode: AcquireMode, tokens?: number): ReturnType<LockDriver['acquire']> {
    return this.#call(() => this.store.acquire(claim, mode, tokens));
  }

  keepPlaces(places: readonly PlaceRef[]): ReturnType<NonNullable<LockDriver['keepPlaces']>> {
    return this.#call(() => this.store.keepPlaces!(places));
  }

  cancel(claim: Claim): Promise<void> {
    return this.#call(() => this.store.cancel(claim));
  }

  renew(leases: readonly LeaseRef[]): ReturnType<LockDriver['renew']> {
    return this.#call(() => this.store.renew(leases));
  }

  release(lease: LeaseRef): Promise<boolean> {
    return this.#call(() => this.store.release(lease));
  }

  reserve(lease: LeaseRef, tokens?: number): ReturnType<NonNullable<LockDriver['reserve']>> {
    return this.#call(() => this.store.reserve!(lease, tokens));
  }

  inspect(key: string): ReturnType<LockDriver['inspect']> {
    return this.store.inspect(key);
  }

  async close(): Promise<void> {}

  #delay(): number {
    return 1 + this.random() * 8 + (this.random() < 0.03 ? this.random() * 400 : 0);
  }

  #call<T>(execute: () => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.world.after(150, () => this.process.deliver(() => reject(new Error('timed out'))));
      if (this.random() < 0.03) return;
      this.world.after(this.#delay(), () => {
        void execute().then(async (answer) => {
          await this.onExecuted();
          if (this.random() < 0.03) return;
          this.world.after(this.#delay(), () => this.process.deliver(() => resolve(answer)));
        });
      });
    });
  }
}

export async function simulate({ seed, duration = 8000, ttl = 300 }: SimulationOptions): Promise<SimulationResult> {
  const random = randomFrom(seed);
  const world = new ManualClock();
  const store = new MemoryDriver({ clock: world });
  const held = new Map<string, { readonly instance: string; readonly lock: Lock }>();
  const trace: string[] = [];
  let grants = 0;
  let lost = 0;
  let beliefs = 0;
  let disorder = 0;
  let holder: string | undefined;
  let lastToken = 0;

  /** At the very moment at which the store has a new holder, nobody else may believe. */
  async function checkStore(): Promise<void> {
    const record = await store.inspect(KEY);
    if (!record || record.holder === holder) return;
    holder = record.holder;
    trace.push(`${world.now().toFixed(3)} ${record.instance}`);
    for (const { instance, lock } of held.values()) if (instance !== record.instance && lock.held) beliefs++;
  }

  function checkObtained(worker: string, instance: string, lock: Lock): void {
    for (const other of held.values()) if (other.instance === instance && other.lock.held) beliefs++;
    held.set(worker, { instance, lock });
    grants++;
    if (!lock.held) return;
    if (lock.fencingToken <= lastToken) disorder++;
    lastToken = lock.fencingToken;
  }

  const processes = ['a', 'b', 'c'].map((instance, index) => {
    // Half a percent fast, exact, half a percent slow: within the margin of one percent.
    const process = new Process(world, 1 + (index - 1) * 0.005);
    const driver = new Network(store, world, process, random, checkStore);
    const manager = new LockManager({
      driver,
      instance,
      clock: process,
      random,
      emit: ({ type }) => (type === 'lost' ? lost++ : undefined),
    });
    for (const worker of [1, 2]) void work(`${instance}${worker}`, instance, process, manager);
    return process;
  });

  async function work(worker: string, instance: string, process: Process, manager: LockManager): Promise<never> {
    for (;;) {
      const limit = { wait: 50 + random() * 1000 };
      const lock = await manager.acquire({ key: 'k', storeKey: KEY, ttl, limit }).catch(() => undefined);
      if (!lock) continue;
      checkObtained(worker, instance, lock);
      for (let step = random() * 20; step > 0 && lock.held; step--) await process.sleep(random() * 40);
      await lock.release();
      held.delete(worker);
      await process.sleep(random() * 20);
    }
  }

  async function disturb(): Promise<never> {
    for (;;) {
      await new Promise<void>((resolve) => void world.after(100 + random() * 400, resolve));
      const victim = processes[Math.floor(random() * processes.length)]!;
      victim.pause();
      world.after(50 + random() * 700, () => victim.resume());
    }
  }
  void disturb();

  await world.advance(duration);
  return { grants, lost, beliefs, disorder, trace: trace.join('\n') };
}
