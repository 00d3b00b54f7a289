import { backoff } from '../core/backoff.js';
import type { Clock, Random, Timer } from '../core/clock.js';
import { LockConfigError } from '../core/errors.js';
import type { LockEvent } from '../core/events.js';
import type { FactStore } from '../core/fact-store.js';
import { guarded } from '../core/guarded.js';
import { newHolder } from '../core/ids.js';
import { LeaderWork } from '../locks/running-work.js';
import { FireRecords } from './fire-records.js';
import { fireAt, newestInstant, type NextInstant } from './schedule.js';

/** A job that several instances fire. */
export interface Job {
  readonly id: string;
  readonly next: NextInstant;
  /** Milliseconds by which a tick may come before its instant. */
  readonly tolerance: number;
}

export interface FiresSettings {
  readonly facts: FactStore;
  /** The name of the fires in the store. */
  readonly scope: string;
  /** Id of this instance. */
  readonly instance: string;
  /** Milliseconds without a sign of life after which the instance that ran a fire counts as dead. */
  readonly aliveFor: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly emit: (event: LockEvent) => void;
}

const DAY = 24 * 3600 * 1000;
const LONGEST_MEMORY = 3 * 366 * DAY;
const LONGEST_PATIENCE = 30_000;
const FIRST_PAUSE = 100;
const LONGEST_PAUSE = 5000;

/**
 * Each fire of a job runs at most once over all instances: whoever moves the job's number forward to the instant of the
 * fire, which the store does atomically, runs it. The claim comes first, so a claimant that dies leaves a fire that
 * nobody runs; a claim that came after the run would let two run it. Neither order gives exactly once.
 *
 * It holds whatever the clocks of the instances say, since an instant is never claimed twice and never after a later
 * one: the instance whose clock is ahead claims the fires, and one that is behind comes too late. It does not hold when
 * the store loses its data.
 */
export class Fires {
  readonly #settings: FiresSettings;
  readonly #records: FireRecords;
  readonly #running: LeaderWork;
  readonly #timers = new Set<Timer>();
  #closed = false;

  constructor(settings: FiresSettings) {
    this.#settings = { ...settings, emit: guarded('a listener of fire events', settings.emit) };
    this.#records = new FireRecords(settings.facts, settings.scope, settings.aliveFor);
    this.#running = new LeaderWork(settings.clock);
  }

  /**
   * Runs `work` if this instance is the first to claim the fire that the tick is for, else resolves to undefined.
   *
   * @throws what `work` throws, or why the store could not be asked for half an interval, at most 30 s: then the fire
   *   does not run here
   */
  async tick<T>(job: Job, work: () => T | Promise<T>): Promise<T | undefined> {
    const { clock, instance, emit } = this.#settings;
    const { instant, gap } = fireAt(job.next, clock.wall(), job.tolerance);
    if (!Number.isFinite(instant)) return undefined;
    // Of its own for each tick: a clock that is set back makes the same instance fire the same instant again.
    const attempt = `${instance} ${newHolder()}`;
    const memory = memoryOf(gap);
    const claimed = await this.#persist(Math.min(gap / 2, LONGEST_PATIENCE), () =>
      this.#records.claim(job.id, instant, attempt, memory),
    );
    emit({ type: claimed ? 'fire-claimed' : 'fire-taken', job: job.id, instant });
    if (claimed) return this.#running.run(() => this.#run(job.id, instant, memory, work));
    // The record of a fire long past is gone.
    if (Math.abs(clock.wall() - instant) < this.#settings.aliveFor) this.#watch(job.id, instant);
    return undefined;
  }

  /**
   * Whether the newest instant that has passed was claimed by nobody. A job that the store does not know has missed
   * nothing: it begins now.
   */
  async isMissed(job: Job): Promise<boolean> {
    const { clock, instance } = this.#settings;
    const now = clock.wall();
    const newest = newestInstant(job.next, now);
    const { instant, gap } = fireAt(job.next, now, job.tolerance);
    // The next fire is due, and stands for those before it.
    if (instant !== newest || !Number.isFinite(newest)) return false;
    return this.#persist(Infinity, async () => {
      const { last } = await this.#records.look(job.id);
      if (last) return last.instant < newest;
      if (await this.#records.claim(job.id, newest, `${instance} ${newHolder()}`, memoryOf(gap))) {
        await this.#records.setLast(job.id, { instant: newest, by: instance, done: true }, memoryOf(gap));
      }
      return false;
    });
  }

  /** Reports the newest fire of a job when it was left by an instance that died before this one started. */
  async checkLast(job: Job): Promise<void> {
    const { last } = await this.#persist(Infinity, () => this.#records.look(job.id));
    if (last && !last.done) this.#watch(job.id, last.instant, true);
  }

  /** Whether all runs ended within so many milliseconds. Nothing is reported any more. */
  async close(grace: number): Promise<boolean> {
    this.#closed = true;
    for (const timer of this.#timers) timer.cancel();
    return this.#running.drained(grace);
  }

  async #run<T>(job: string, instant: number, memory: number, work: () => T | Promise<T>): Promise<T> {
    const { instance, aliveFor, clock } = this.#settings;
    const last = { instant, by: instance };
    // The run does not depend on what is told of it.
    const tell = (): Promise<unknown> => this.#records.runs(job, instant).catch(() => undefined);
    let told = tell();
    await Promise.all([told, this.#records.setLast(job, { ...last, done: false }, memory).catch(() => undefined)]);
    let ended = false;
    const beat = (): void => {
      clock.after(aliveFor / 3, () => {
        if (ended) return;
        told = tell();
        beat();
      });
    };
    beat();
    try {
      return await work();
    } finally {
      ended = true;
      // Not awaited by the caller: the result is there.
      void this.#running
        .run(() =>
          this.#persist(aliveFor, async () => {
            await told;
            await this.#records.done(job, instant);
            const newest = (await this.#records.look(job)).last;
            if (newest?.instant === instant) await this.#records.setLast(job, { ...last, done: true }, memory);
          }),
        )
        .catch(() => undefined);
    }
  }

  /**
   * Looks after the run of another instance until it is done, or dead.
   *
   * @param isClaimed whether it is known that somebody claimed the fire; it may also be that a later one was claimed
   */
  #watch(job: string, instant: number, isClaimed = false): void {
    const { instance, aliveFor, emit } = this.#settings;
    this.#after((isClaimed ? 1.25 : 0.25) * aliveFor, async () => {
      const { run, last } = await this.#persist(Infinity, () => this.#records.look(job, instant));
      const newest = last?.instant === instant ? last : undefined;
      if (run === 'done' || newest?.done) return;
      if (run === 'runs' || !isClaimed) {
        if (run === 'runs' || !last || last.instant <= instant) this.#watch(job, instant, true);
        return;
      }
      // One of those who saw it reports it.
      const mine = await this.#persist(Infinity, () => this.#records.claimReport(job, instant, instance));
      if (mine) emit({ type: 'fire-abandoned', job, instant, by: newest?.by });
    });
  }

  /** Repeats what the store did not answer, for so many milliseconds, or until this is closed. */
  async #persist<T>(patience: number, action: () => Promise<T>): Promise<T> {
    const { clock, random } = this.#settings;
    const giveUpAt = clock.now() + patience;
    for (let attempt = 0; ; attempt++) {
      try {
        return await action();
      } catch (error) {
        const isOver = patience === Infinity ? this.#closed : clock.now() >= giveUpAt;
        if (isOver || error instanceof LockConfigError) throw error;
        await new Promise<void>((resolve) => {
          clock.after(backoff(attempt, FIRST_PAUSE, LONGEST_PAUSE, random), resolve);
        });
      }
    }
  }

  #after(milliseconds: number, task: () => Promise<void>): Timer {
    const timer = this.#settings.clock.after(milliseconds, () => {
      this.#timers.delete(timer);
      // What fails here fails because this was closed: there is nobody to tell.
      if (!this.#closed) task().catch(() => undefined);
    });
    this.#timers.add(timer);
    return timer;
  }
}

/** How long a claim is remembered: so long that nobody comes late for it, and that a missed fire can be caught up. */
function memoryOf(gap: number): number {
  return Math.min(Math.max(DAY, 3 * gap), LONGEST_MEMORY);
}
