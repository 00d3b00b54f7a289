import { detached } from '../core/detached.js';
import type { FactStore } from '../core/fact-store.js';
import type {
  AcquireMode,
  Claim,
  DriverCapabilities,
  DriverEvent,
  DriverListener,
  Granted,
  LeaseRef,
  LockDriver,
  LockRecord,
  PlaceOutcome,
  PlaceRef,
  Queued,
  Refused,
  RenewOutcome,
  TokenBlock,
} from '../core/lock-driver.js';
import { promiseTry } from '../core/promise-try.js';
import {
  checkedAnswer,
  checkedBlock,
  checkedOutcomes,
  checkedPlaces,
  checkedRecord,
  checkEvent,
  DriverAnswerError,
} from './driver-answers.js';

/**
 * A driver as the engine sees it:
 *
 * 1. Its answers fit the port. One that does not is a rejection that names the driver, and is reported once for each
 *    kind of call. An error that the driver throws is a rejection, too.
 * 2. It runs outside of the callers' call chains. A connection, a timer or a promise that it keeps must not keep the
 *    frames of the caller for whom it was made.
 */
export class CheckedDriver implements LockDriver {
  readonly name: string;
  readonly facts?: FactStore;
  readonly reserve?: NonNullable<LockDriver['reserve']>;
  readonly keepPlaces?: NonNullable<LockDriver['keepPlaces']>;
  readonly renewalGroup?: NonNullable<LockDriver['renewalGroup']>;
  readonly #driver: LockDriver;
  readonly #warn: (message: string) => void;
  readonly #warned = new Set<string>();
  readonly #listeners = new Map<DriverListener, DriverListener>();

  constructor(driver: LockDriver, warn: (message: string) => void = () => undefined) {
    this.name = driver.name;
    this.#driver = driver;
    this.#warn = warn;
    if (driver.facts) this.facts = detachedFacts(driver.facts);
    if (driver.reserve) this.reserve = (lease, tokens) => this.#reserve(driver, lease, tokens);
    if (driver.keepPlaces) this.keepPlaces = (places) => this.#keepPlaces(driver, places);
    if (driver.renewalGroup) this.renewalGroup = (key) => this.#group(driver, key);
  }

  get capabilities(): DriverCapabilities {
    return this.#driver.capabilities;
  }

  async connect(listener: DriverListener): Promise<void> {
    const hearing: DriverListener = (event) => {
      if (this.#isEvent(event)) listener(event);
    };
    this.#listeners.set(listener, hearing);
    await detached(() => this.#driver.connect(hearing));
  }

  // No async functions on the way of every lock: each costs a promise more.
  acquire(claim: Claim, mode: AcquireMode, tokens?: number): Promise<Granted | Refused | Queued> {
    return this.#call(() => this.#driver.acquire(claim, mode, tokens)).then((answer) =>
      this.#reported(() => checkedAnswer(this.#driver, claim, answer)),
    );
  }

  cancel(claim: Claim): Promise<void> {
    return this.#call(() => this.#driver.cancel(claim));
  }

  async renew(leases: readonly LeaseRef[]): Promise<readonly RenewOutcome[]> {
    const outcomes = await this.#call(() => this.#driver.renew(leases));
    return this.#reported(() => checkedOutcomes(this.#driver, leases, outcomes));
  }

  release(lease: LeaseRef, to?: string): Promise<boolean> {
    return this.#call(() => this.#driver.release(lease, to));
  }

  async inspect(key: string): Promise<LockRecord | null> {
    const record = await this.#call(() => this.#driver.inspect(key));
    return this.#reported(() => checkedRecord(this.#driver, record));
  }

  async close(listener: DriverListener): Promise<void> {
    const hearing = this.#listeners.get(listener);
    this.#listeners.delete(listener);
    if (hearing) await this.#driver.close(hearing);
  }

  async #reserve(driver: LockDriver, lease: LeaseRef, tokens?: number): Promise<TokenBlock | null> {
    const block = await this.#call(() => driver.reserve!(lease, tokens));
    return this.#reported(() => checkedBlock(driver, block));
  }

  async #keepPlaces(driver: LockDriver, places: readonly PlaceRef[]): Promise<readonly PlaceOutcome[]> {
    const outcomes = await this.#call(() => driver.keepPlaces!(places));
    return this.#reported(() => checkedPlaces(driver, places, outcomes));
  }

  #call<T>(request: () => Promise<T>): Promise<T> {
    return detached(() => promiseTry(request));
  }

  /** Leases that nobody can sort are renewed together. */
  #group(driver: LockDriver, key: string): number {
    try {
      return driver.renewalGroup!(key);
    } catch {
      return 0;
    }
  }

  #isEvent(event: DriverEvent): boolean {
    try {
      this.#reported(() => checkEvent(this.#driver, event));
      return true;
    } catch {
      return false;
    }
  }

  #reported<T>(check: () => T): T {
    try {
      return check();
    } catch (error) {
      if (error instanceof DriverAnswerError && !this.#warned.has(error.call)) {
        this.#warned.add(error.call);
        this.#warn(error.message);
      }
      throw error;
    }
  }
}

function detachedFacts(facts: FactStore): FactStore {
  return {
    put: (...args) => detached(() => facts.put(...args)),
    remove: (...args) => detached(() => facts.remove(...args)),
    list: (...args) => detached(() => facts.list(...args)),
    watch: (...args) => detached(() => facts.watch(...args)),
    advance: (...args) => detached(() => facts.advance(...args)),
  };
}
