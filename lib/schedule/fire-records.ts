import { backoff } from '../core/backoff.js';
import type { Clock, Random } from '../core/clock.js';
import type { Milliseconds } from '../core/duration.js';
import { LockConfigError } from '../core/errors.js';
import type { FactStore } from '../core/fact-store.js';
import { pause } from '../core/pause.js';

/** The newest claimed fire of a job, as the store keeps it. */
export interface LastFire {
  /** Milliseconds since 1970. */
  readonly instant: number;
  /** Id of the instance that claimed the fire. */
  readonly by: string;
  readonly done: boolean;
}

export interface FireRecordsSettings {
  readonly facts: FactStore;
  /** The name of the fires in the store. */
  readonly scope: string;
  /** The time without a sign of life after which the instance that ran a fire counts as dead. */
  readonly aliveFor: Milliseconds;
  readonly clock: Clock;
  readonly random: Random;
}

const DAY: Milliseconds = 24 * 3600 * 1000;
/** The longest time for which the store remembers a fire. */
const LONGEST_MEMORY: Milliseconds = 3 * 366 * DAY;
/** A fact about a run that has ended is kept for this many times `aliveFor`. */
const DONE_FOR = 3;
/** The pause before the second attempt. */
const FIRST_PAUSE: Milliseconds = 100;
/** The longest pause between two attempts. */
const LONGEST_PAUSE: Milliseconds = 5000;

/**
 * The fires of jobs in the fact store:
 *
 * 1. A number for each job decides which instance runs a fire: see `claim`.
 * 2. A fact for each fire says that the fire runs, or that it is done. The run refreshes the fact.
 * 3. A fact for each job holds its newest claimed fire.
 * 4. A second number for each job decides which instance reports an abandoned fire: see `claimReport`.
 *
 * Only the first number keeps an instance from running a fire. The rest is for reports and for `catchUp`.
 */
export class FireRecords {
  readonly aliveFor: Milliseconds;
  readonly #settings: FireRecordsSettings;
  #closed = false;

  constructor(settings: FireRecordsSettings) {
    this.aliveFor = settings.aliveFor;
    this.#settings = settings;
  }

  /**
   * Moves the job's number to the instant of a fire. True for one attempt, which then has the fire: an attempt may repeat
   * its claim.
   */
  async claim(job: string, instant: number, attempt: string, ttl: Milliseconds): Promise<boolean> {
    const { facts, scope } = this.#settings;
    return (await facts.advance(scope, job, instant, attempt, ttl)) === 'mine';
  }

  /**
   * True for one attempt, which then reports the fire as abandoned. The store remembers the report for at least as long as
   * the newest fire, which each start of an application reads.
   */
  async claimReport(job: string, instant: number, attempt: string): Promise<boolean> {
    const { facts, scope } = this.#settings;
    return (await facts.advance(scope, `abandoned ${job}`, instant, attempt, LONGEST_MEMORY)) === 'mine';
  }

  async runs(job: string, instant: number): Promise<void> {
    const { facts, scope } = this.#settings;
    await facts.put(scope, runOf(job, instant), 'runs', this.aliveFor);
  }

  async done(job: string, instant: number): Promise<void> {
    const { facts, scope } = this.#settings;
    await facts.put(scope, runOf(job, instant), 'done', DONE_FOR * this.aliveFor);
  }

  async setLast(job: string, last: LastFire, ttl: Milliseconds): Promise<void> {
    const { facts, scope } = this.#settings;
    await facts.put(scope, lastOf(job), JSON.stringify(last), ttl);
  }

  /** The newest fire of a job, and the fact about the fire at `instant`, or else about the newest one. */
  async look(job: string, instant?: number): Promise<{ run?: string | undefined; last?: LastFire | undefined }> {
    const { facts: store, scope } = this.#settings;
    const facts = await store.list(scope);
    const text = facts.get(lastOf(job));
    const last = text === undefined ? undefined : parseLast(text);
    const which = instant ?? last?.instant;
    return { last, run: which === undefined ? undefined : facts.get(runOf(job, which)) };
  }

  /**
   * Repeats an action until the store answers: for the time `limit`, or with `Infinity` until `close`.
   *
   * @throws the error of the last attempt; a LockConfigError at once
   */
  async persist<T>(limit: Milliseconds, action: () => Promise<T>): Promise<T> {
    const { clock, random } = this.#settings;
    const giveUpAt = clock.now() + limit;
    for (let attempt = 0; ; attempt++) {
      try {
        return await action();
      } catch (error) {
        const isOver = limit === Infinity ? this.#closed : clock.now() >= giveUpAt;
        if (isOver || error instanceof LockConfigError) throw error;
        await pause(clock, backoff(attempt, FIRST_PAUSE, LONGEST_PAUSE, random));
      }
    }
  }

  close(): void {
    this.#closed = true;
  }
}

/**
 * The time for which the store remembers a claim: three intervals, from a day to three years. A late tick must still
 * find the claim, and a start must still see which fires were missed.
 *
 * @param gap the time between two fires of the job
 */
export function memoryOf(gap: Milliseconds): Milliseconds {
  return Math.min(Math.max(DAY, 3 * gap), LONGEST_MEMORY);
}

const runOf = (job: string, instant: number): string => `run ${instant} ${job}`;
const lastOf = (job: string): string => `last ${job}`;

/** Undefined for a text that is no record. Everybody with access to the store can write any text. */
function parseLast(text: string): LastFire | undefined {
  try {
    const { instant, by, done } = JSON.parse(text) as Partial<Record<keyof LastFire, unknown>>;
    const isRecord = Number.isSafeInteger(instant) && typeof by === 'string' && typeof done === 'boolean';
    return isRecord ? { instant: Number(instant), by, done } : undefined;
  } catch {
    return undefined;
  }
}
