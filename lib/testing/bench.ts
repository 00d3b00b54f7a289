import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { SystemClock } from '../core/clock.js';
import type { Milliseconds } from '../core/duration.js';
import type { Claim, DriverEvent, DriverListener, Granted, LockDriver } from '../core/lock-driver.js';
import { pause } from '../core/pause.js';
import { CheckedDriver } from '../locks/checked-driver.js';
import { driverProblems } from '../locks/driver-problems.js';
import { until } from './until.js';

/** Options of `driverContract()`. */
export interface DriverContractOptions {
  /** Makes a new driver. All drivers of one case must share one store. */
  create(): LockDriver | Promise<LockDriver>;
  /**
   * The TTL of leases that must not end during a case.
   *
   * @defaultValue 30 s, in milliseconds
   */
  readonly longTtl?: Milliseconds;
  /**
   * The TTL of leases whose end a case waits for.
   *
   * @defaultValue the driver's minimum, at least 150 ms
   */
  readonly shortTtl?: Milliseconds;
}

/** One instance in a case: a driver of its own and the events that it delivered. */
export class Instance {
  readonly events: DriverEvent[] = [];
  readonly listener: DriverListener = (event) => void this.events.push(event);
  /** The answers and events that did not fit the port. */
  readonly wrong: string[] = [];

  /** Each of its answers and events has to fit the port. */
  readonly driver: LockDriver;

  constructor(
    driver: LockDriver,
    readonly id: string,
  ) {
    assert.deepEqual(driverProblems(driver), [], 'it is a driver');
    this.driver = new CheckedDriver(driver, (message) => this.wrong.push(message));
  }

  /** The grant that the store pushes to a waiting claim. */
  async granted(claim: Claim): Promise<Granted> {
    await until(() => this.grantOf(claim) !== undefined, 2000, `${this.id} is told that it was granted the key`);
    return this.grantOf(claim)!;
  }

  grantOf({ holder }: Claim): Granted | undefined {
    return this.events.find((event) => event.type === 'granted' && event.holder === holder) as Granted | undefined;
  }

  heard(type: DriverEvent['type'], key: string): boolean {
    return this.events.some((event) => event.type === type && 'key' in event && event.key === key);
  }
}

/** The instances, the keys and the real time of one case. */
export class Bench {
  readonly #options: DriverContractOptions;
  readonly #instances: Instance[] = [];
  readonly clock = new SystemClock();
  readonly key = `contract:l:${randomUUID()}`;

  constructor(options: DriverContractOptions) {
    this.#options = options;
  }

  get longTtl(): Milliseconds {
    return this.#options.longTtl ?? 30_000;
  }

  async instance(): Promise<Instance> {
    const instance = new Instance(await this.#options.create(), `instance-${this.#instances.length + 1}`);
    this.#instances.push(instance);
    await instance.driver.connect(instance.listener);
    return instance;
  }

  /** A test runner may end a process that nothing keeps alive. */
  pause(time: Milliseconds): Promise<void> {
    return pause(this.clock, time, true);
  }

  shortTtl({ driver }: Instance): Milliseconds {
    return this.#options.shortTtl ?? Math.max(driver.capabilities.minTtl, 150);
  }

  claim(instance: Instance, change: Partial<Claim> = {}): Claim {
    return {
      key: this.key,
      holder: randomUUID(),
      ttl: this.longTtl,
      instance: instance.id,
      metadata: {},
      ...change,
    };
  }

  async close(): Promise<void> {
    for (const { driver, listener } of this.#instances) await driver.close(listener);
    assert.deepEqual(
      this.#instances.flatMap(({ wrong }) => wrong),
      [],
      'every answer and event fits the port',
    );
  }
}
