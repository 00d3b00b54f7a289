import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { DriverUnavailableError, LockConfigError } from '../../lib/core/errors.js';
import type { LockDriver } from '../../lib/core/lock-driver.js';
import { LockNotAcquiredError } from '../../lib/core/lock-errors.js';
import type { LockHandle } from '../../lib/locks/lock.js';
import { request } from '../support/engine/engine.js';
import { RealEngine } from '../support/engine/real-engine.js';
import { FencedResource } from '../support/history/fenced-resource.mjs';
import { type Belief, checkHistory, type Violations } from '../support/history/history.js';

type Call = 'acquire' | 'renew' | 'release' | 'cancel';

/** Notes calls whose outcome was unknown, and what the same request for the same holder came to later. */
class Outcomes {
  /** By call, then by what it came to; `open` has not come to anything. */
  readonly resolved: Record<string, Record<string, number>> = {};
  readonly #open = new Map<string, Call>();

  watch(driver: LockDriver): LockDriver {
    const noted = <T>(call: Call, holders: readonly string[], work: Promise<T>, told: (answer: T) => string[]) =>
      work.then(
        (answer) => {
          told(answer).forEach((outcome, index) => this.#came(call, holders[index]!, outcome));
          return answer;
        },
        (error: unknown) => {
          for (const holder of isUnknown(error) ? holders : []) this.#open.set(`${call} ${holder}`, call);
          throw error;
        },
      );
    return new Proxy(driver, {
      get: (target, property) => {
        const value = Reflect.get(target, property, target) as unknown;
        switch (property) {
          case 'acquire':
            return ((claim, mode) =>
              noted('acquire', [claim.holder], target.acquire(claim, mode), ({ status }) => [
                status,
              ])) satisfies LockDriver['acquire'];
          case 'cancel':
            return ((claim) =>
              noted('cancel', [claim.holder], target.cancel(claim), () => {
                this.#came('acquire', claim.holder, 'cancelled');
                return ['done'];
              })) satisfies LockDriver['cancel'];
          case 'release':
            return ((lease, to) =>
              noted('release', [lease.holder], target.release(lease, to), (had) => [
                had ? 'released' : 'was released before',
              ])) satisfies LockDriver['release'];
          case 'renew':
            return ((leases) =>
              noted(
                'renew',
                leases.map(({ holder }) => holder),
                target.renew(leases),
                (outcomes) => outcomes.map((outcome) => (outcome === 'gone' ? 'gone' : 'renewed')),
              )) satisfies LockDriver['renew'];
          default:
            return typeof value === 'function' ? (value.bind(target) as unknown) : value;
        }
      },
    });
  }

  /** Those that nobody asked about again: what they may hold ends with its TTL. */
  finish(): void {
    for (const call of this.#open.values()) this.#count(call, 'ended with its TTL');
    this.#open.clear();
  }

  #came(call: Call, holder: string, outcome: string): void {
    if (this.#open.delete(`${call} ${holder}`)) this.#count(call, outcome);
  }

  #count(call: string, outcome: string): void {
    const outcomes = (this.resolved[call] ??= {});
    outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
  }
}

export interface LoadReport {
  readonly grants: number;
  /** Milliseconds without a grant on any key, at most; and per key. */
  readonly longestGap: number;
  readonly longestGapOfAKey: number;
  /** Failed acquisitions, by their messages without addresses; those of keys that others held are not counted. */
  readonly failures: Readonly<Record<string, number>>;
  /** Leases that their holders found to be lost. */
  readonly lost: number;
  /** Writes that the resource refused because a later holder had written. */
  readonly refused: number;
  readonly unknown: Readonly<Record<string, Readonly<Record<string, number>>>>;
  /** Of all keys. */
  readonly violations: Violations;
}

/** A key that is held for longer than a lease lives without a renewal. */
const LONG = 'long';

interface LoadOptions {
  readonly instances?: number;
  readonly keys?: number;
  readonly ttl?: number;
  /** Believes in a lease whatever its validity says: a holder that a history must convict. */
  readonly gullible?: boolean;
}

/** Instances that take a few locks again and again, and write to a fenced resource under each. */
export class Load {
  readonly keys: readonly string[];
  readonly #engines: RealEngine[];
  readonly #outcomes = new Outcomes();
  readonly #resource: Redis;
  readonly #options: Required<LoadOptions>;
  readonly #beliefs = new Map<string, Belief[]>();
  readonly #failures: Record<string, number> = {};
  #lost = 0;
  #refused = 0;
  #isOver = false;
  #work: Promise<unknown>;

  constructor(create: () => LockDriver, resource: Redis, options: LoadOptions = {}) {
    this.#resource = resource;
    this.#options = { instances: 3, keys: 5, ttl: 1500, gullible: false, ...options };
    const instances = Array.from({ length: this.#options.instances }, (_, index) => `i${index}`);
    this.#engines = instances.map((id) => new RealEngine(this.#outcomes.watch(create()), id));
    this.keys = Array.from({ length: this.#options.keys }, (_, index) => `job-${index}`).concat(LONG);
    this.#work = Promise.all(this.#engines.flatMap((engine) => this.keys.map((key) => this.#turns(engine, key))));
  }

  get grants(): number {
    return [...this.#beliefs.values()].reduce((sum, { length }) => sum + length, 0);
  }

  /** Resolves when each key was granted so many times more; one that is held long counts once. */
  async more(grants: number): Promise<void> {
    const before = new Map([...this.#beliefs].map(([key, { length }]) => [key, length]));
    const isDone = ([key, { length }]: [string, Belief[]]): boolean =>
      length >= before.get(key)! + (key === LONG ? 1 : grants);
    while (![...this.#beliefs].every(isDone)) await sleep(20);
  }

  async end(): Promise<LoadReport> {
    this.#isOver = true;
    await this.#work;
    await Promise.all(this.#engines.map(({ manager }) => manager.close(this.#options.ttl)));
    this.#outcomes.finish();
    const violations: Violations = { duplicateTokens: [], overlaps: [], tokenOrderViolations: [], staleWrites: [] };
    let longestGapOfAKey = 0;
    for (const [key, beliefs] of this.#beliefs) {
      const log = await new FencedResource(this.#resource, key).log();
      const found = checkHistory(beliefs, log);
      for (const kind of Object.keys(violations) as (keyof Violations)[]) violations[kind].push(...(found[kind] as []));
      longestGapOfAKey = Math.max(longestGapOfAKey, longestGap(beliefs));
    }
    return {
      grants: this.grants,
      longestGap: longestGap([...this.#beliefs.values()].flat()),
      longestGapOfAKey,
      failures: this.#failures,
      lost: this.#lost,
      refused: this.#refused,
      unknown: this.#outcomes.resolved,
      violations,
    };
  }

  async #turns({ manager }: RealEngine, key: string): Promise<void> {
    const { ttl } = this.#options;
    const beliefs = this.#beliefs.get(key) ?? [];
    this.#beliefs.set(key, beliefs);
    while (!this.#isOver) {
      try {
        const lock = await manager.acquire(request({ key, storeKey: `load:l:${key}`, ttl, limit: { wait: 1000 } }));
        await this.#turn(lock, key, manager.instance, beliefs);
      } catch (error) {
        if (error instanceof LockNotAcquiredError) continue;
        const what = (error as Error).message.replaceAll(/\d[\d.:]*|"[^"]*"|i\d|cluster of [^:]*/g, '*').slice(0, 90);
        this.#failures[what] = (this.#failures[what] ?? 0) + 1;
        await sleep(10);
      }
    }
  }

  async #turn(lock: LockHandle, key: string, id: string, beliefs: Belief[]): Promise<void> {
    const believes = (): boolean => lock.held || this.#options.gullible;
    const belief = { id, token: lock.fencingToken, from: performance.now(), until: performance.now() };
    beliefs.push(belief);
    const resource = new FencedResource(this.#resource, key);
    // The gullible one goes on for so long that somebody else gets its lock.
    const work = key === LONG ? this.#options.ttl * (this.#options.gullible ? 5 : 1.2) : 5;
    for (const end = performance.now() + work; performance.now() < end && believes();) {
      await sleep(Math.min(work, 20));
      if (!believes()) break;
      if (!(await resource.write(belief.token, id))) this.#refused++;
      if (believes()) belief.until = performance.now();
    }
    if (!lock.held) this.#lost++;
    await lock.release();
  }
}

function longestGap(beliefs: readonly Belief[]): number {
  const begun = beliefs.map(({ from }) => from).sort((a, b) => a - b);
  return begun.reduce((longest, at, index) => Math.max(longest, at - (begun[index - 1] ?? at)), 0);
}

function isUnknown(error: unknown): boolean {
  return !(error instanceof LockConfigError) && !(error instanceof DriverUnavailableError && !error.sent);
}
