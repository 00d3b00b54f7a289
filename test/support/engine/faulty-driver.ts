import type { Clock } from '../../../lib/core/clock.js';
import { DriverUnavailableError } from '../../../lib/core/errors.js';
import type { FactStore } from '../../../lib/core/fact-store.js';
import type {
  AcquireMode,
  Claim,
  DriverCapabilities,
  DriverEvent,
  DriverListener,
  LeaseRef,
  LockDriver,
} from '../../../lib/core/lock-driver.js';

type Call = 'acquire' | 'keepPlaces' | 'cancel' | 'renew' | 'release' | 'reserve';

/** What happens to the next call of a kind. */
export type Fault =
  /** Executed at once, answered after so many milliseconds. */
  | { readonly answerAfter: number }
  /** Executed after so many milliseconds, and answered then. */
  | { readonly executeAfter: number }
  /** Executed; the answer is lost and the caller learns so after the time. */
  | { readonly loseAnswer: number }
  /** Never executed; the caller gets an unknown outcome after the time. */
  | { readonly loseRequest: number }
  /** The caller gets an unknown outcome after the first time; executed after the second. */
  | { readonly loseRequest: number; readonly executeLate: number }
  | { readonly reject: Error };

/** A driver between an engine and a store that can be told to misbehave, and that keeps a record of the calls. */
export class FaultyDriver implements LockDriver {
  readonly name = 'faulty';
  readonly calls: { readonly call: Call; readonly at: number; readonly holders: readonly string[] }[] = [];
  /** While set, nothing is sent and every call says so. */
  unreachable = false;
  /** While set, what the store says by itself does not arrive. */
  deaf = false;
  /** While set, the fact store does not answer. */
  factsHangs = false;
  /** Milliseconds after which the fact store executes a request. */
  factsTakes = 0;
  inspections = 0;
  /** Requests to the fact store. */
  factsCalls = 0;
  /** Milliseconds that what the store says by itself is late. */
  eventsLate = 0;
  readonly #store: LockDriver;
  readonly #clock: Clock;
  readonly #faults: Record<Call, Fault[]> = {
    acquire: [],
    keepPlaces: [],
    cancel: [],
    renew: [],
    release: [],
    reserve: [],
  };
  readonly #listeners = new Map<DriverListener, DriverListener>();

  constructor(store: LockDriver, clock: Clock) {
    this.#store = store;
    this.#clock = clock;
  }

  get capabilities(): DriverCapabilities {
    return this.#store.capabilities;
  }

  get facts(): FactStore | undefined {
    const { facts } = this.#store;
    if (!facts) return undefined;
    return {
      put: (...args) => this.#fact(() => facts.put(...args)),
      remove: (...args) => this.#fact(() => facts.remove(...args)),
      list: (...args) => this.#fact(() => facts.list(...args)),
      advance: (...args) => this.#fact(() => facts.advance(...args)),
      watch: (scope, changed) => facts.watch(scope, () => this.deaf || changed()),
    };
  }

  /** The next call of this kind, and those after it, meet these faults in turn. */
  next(call: Call, ...faults: Fault[]): void {
    this.#faults[call].push(...faults);
  }

  /** What a store says when its connection has changed. */
  say(event: DriverEvent): void {
    for (const listener of this.#listeners.keys()) listener(event);
  }

  callsOf(call: Call): { readonly at: number; readonly holders: readonly string[] }[] {
    return this.calls.filter((entry) => entry.call === call);
  }

  connect(listener: DriverListener): Promise<void> {
    const hearing: DriverListener = (event) => {
      if (this.deaf) return;
      if (this.eventsLate > 0) this.#clock.after(this.eventsLate, () => listener(event));
      else listener(event);
    };
    this.#listeners.set(listener, hearing);
    return this.#store.connect(hearing);
  }

  close(listener: DriverListener): Promise<void> {
    return this.#store.close(this.#listeners.get(listener)!);
  }

  acquire(claim: Claim, mode: AcquireMode, tokens?: number): ReturnType<LockDriver['acquire']> {
    return this.#run('acquire', [claim], () => this.#store.acquire(claim, mode, tokens));
  }

  /** Of which part of the store a key is; a test may say. */
  renewalGroup(_key: string): number {
    return 0;
  }

  get keepPlaces(): LockDriver['keepPlaces'] {
    const store = this.#store;
    if (!store.keepPlaces) return undefined;
    return (places) => this.#run('keepPlaces', places, () => store.keepPlaces!(places));
  }

  cancel(claim: Claim): Promise<void> {
    return this.#run('cancel', [claim], () => this.#store.cancel(claim));
  }

  renew(leases: readonly LeaseRef[]): ReturnType<LockDriver['renew']> {
    return this.#run('renew', leases, () => this.#store.renew(leases));
  }

  release(lease: LeaseRef, to?: string): Promise<boolean> {
    return this.#run('release', [lease], () => this.#store.release(lease, to));
  }

  reserve(lease: LeaseRef, tokens?: number): ReturnType<NonNullable<LockDriver['reserve']>> {
    return this.#run('reserve', [lease], () => this.#store.reserve!(lease, tokens));
  }

  async inspect(key: string): ReturnType<LockDriver['inspect']> {
    this.inspections++;
    if (this.unreachable) throw new DriverUnavailableError('Not connected.', { sent: false });
    return this.#store.inspect(key);
  }

  async #fact<T>(execute: () => Promise<T>): Promise<T> {
    this.factsCalls++;
    if (this.factsHangs) return new Promise(() => {});
    if (this.unreachable) throw new DriverUnavailableError('Not connected.', { sent: false });
    if (this.factsTakes > 0) await this.#pass(this.factsTakes);
    return execute();
  }

  async #run<T>(call: Call, leases: readonly LeaseRef[], execute: () => Promise<T>): Promise<T> {
    this.calls.push({ call, at: this.#clock.now(), holders: leases.map(({ holder }) => holder) });
    if (this.unreachable) throw new DriverUnavailableError('Not connected.', { sent: false });
    const fault = this.#faults[call].shift();
    if (!fault) return execute();
    if ('reject' in fault) throw fault.reject;
    if ('answerAfter' in fault) {
      const answer = await execute();
      await this.#pass(fault.answerAfter);
      return answer;
    }
    if ('executeAfter' in fault) {
      await this.#pass(fault.executeAfter);
      return execute();
    }
    if ('loseAnswer' in fault) await execute();
    if ('executeLate' in fault) void this.#pass(fault.executeLate).then(execute);
    await this.#pass('loseAnswer' in fault ? fault.loseAnswer : fault.loseRequest);
    throw new Error('The connection was lost.');
  }

  #pass(milliseconds: number): Promise<void> {
    return new Promise((resolve) => void this.#clock.after(milliseconds, resolve));
  }
}
