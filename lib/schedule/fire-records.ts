import { backoff } from '../core/backoff.js';
import type { Clock, Random } from '../core/clock.js';
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
  /** Milliseconds without a sign of life after which the instance that ran a fire counts as dead. */
  readonly aliveFor: number;
  readonly clock: Clock;
  readonly random: Random;
}

/** A fact about a run that has ended is kept for this many times `aliveFor`. */
const DONE_FOR = 3;
/** Milliseconds before the first repetition. */
const FIRST_PAUSE = 100;
/** Milliseconds between two repetitions, at most. */
const LONGEST_PAUSE = 5000;

/**
 * The fires of jobs in the fact store:
 *
 * 1. A number for each job decides which instance runs a fire: see `claim`.
 * 2. A fact for each fire says that it runs, or that it is done. The run refreshes the fact.
 * 3. A fact for each job holds its newest claimed fire.
 *
 * Only the number excludes anybody. The facts are for reports and for `catchUp`.
 */
export class FireRecords {
  readonly aliveFor: number;
  readonly #settings: FireRecordsSettings;
  #closed = false;

  constructor(settings: FireRecordsSettings) {
    this.aliveFor = settings.aliveFor;
    this.#settings = settings;
  }

  /** Moves the job's number to the instant. True: this attempt has the fire. An attempt may repeat its claim. */
  async claim(job: string, instant: number, attempt: string, ttl: number): Promise<boolean> {
    const { facts, scope } = this.#settings;
    return (await facts.advance(scope, job, instant, attempt, ttl)) === 'mine';
  }

  /** True on one of the instances that ask: this one reports the fire as abandoned. */
  async claimReport(job: string, instant: number, by: string): Promise<boolean> {
    const { facts, scope } = this.#settings;
    return (await facts.advance(scope, `abandoned ${job}`, instant, by, DONE_FOR * this.aliveFor)) === 'mine';
  }

  async runs(job: string, instant: number): Promise<void> {
    const { facts, scope } = this.#settings;
    await facts.put(scope, runOf(job, instant), 'runs', this.aliveFor);
  }

  async done(job: string, instant: number): Promise<void> {
    const { facts, scope } = this.#settings;
    await facts.put(scope, runOf(job, instant), 'done', DONE_FOR * this.aliveFor);
  }

  async setLast(job: string, last: LastFire, ttl: number): Promise<void> {
    const { facts, scope } = this.#settings;
    await facts.put(scope, lastOf(job), JSON.stringify(last), ttl);
  }

  /** The fact about one fire, without `instant` the newest one, and the newest fire of the job. */
  async look(job: string, instant?: number): Promise<{ run?: string | undefined; last?: LastFire | undefined }> {
    const { facts: store, scope } = this.#settings;
    const facts = await store.list(scope);
    const text = facts.get(lastOf(job));
    const last = text === undefined ? undefined : parseLast(text);
    const which = instant ?? last?.instant;
    return { last, run: which === undefined ? undefined : facts.get(runOf(job, which)) };
  }

  /**
   * Repeats an action until the store answers: for `limit` milliseconds, or with `Infinity` until this is closed.
   *
   * @throws the error of the last repetition; a LockConfigError at once
   */
  async persist<T>(limit: number, action: () => Promise<T>): Promise<T> {
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

const runOf = (job: string, instant: number): string => `run ${instant} ${job}`;
const lastOf = (job: string): string => `last ${job}`;

/** Undefined for a text that is no such record: everybody with access to the store can write any text. */
function parseLast(text: string): LastFire | undefined {
  try {
    const { instant, by, done } = JSON.parse(text) as Partial<Record<keyof LastFire, unknown>>;
    const isRecord = Number.isSafeInteger(instant) && typeof by === 'string' && typeof done === 'boolean';
    return isRecord ? { instant: Number(instant), by, done } : undefined;
  } catch {
    return undefined;
  }
}
