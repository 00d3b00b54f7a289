import type { Milliseconds } from '../core/duration.js';
import { guarded } from '../core/guarded.js';
import { newHolder } from '../core/ids.js';
import { runInside } from '../locks/call-chain.js';
import { RunningWork } from '../locks/running-work.js';
import { AbandonedFires, type AbandonedFiresSettings } from './abandoned-fires.js';
import { FireRecords, type FireRecordsSettings, memoryOf } from './fire-records.js';
import { type Fire, fireAt, newestInstant, type NextInstant } from './schedule.js';

/** The longest time for which a tick repeats a claim that the store does not answer. */
const LONGEST_CLAIM: Milliseconds = 30_000;
/** The time between two fires, where only the instant of one is known. */
const UNKNOWN_GAP: Milliseconds = 10 * 24 * 3600 * 1000;

/**
 * Each fire of a job runs at most once over all instances. The instance that moves the job's number forward to the
 * instant of the fire runs it; the store moves the number atomically.
 *
 * 1. The claim comes before the run. A claimant that dies leaves a fire that nobody runs. With the claim after the run,
 *    two instances could run one fire. Neither order gives exactly once.
 * 2. The clocks of the instances need not agree. An instant is never claimed twice, and never after a later one. The
 *    instance whose clock is ahead claims the fires, and one whose clock is behind comes too late.
 * 3. Two runs of one job may overlap: a run that takes longer than the interval does not keep the next fire from running.
 *
 * Not covered:
 * - a store that loses its data: a fire may run again.
 * - a tick that comes after the store has forgotten the claim: see `memoryOf`.
 */
export class Fires {
  readonly #settings: FiresSettings;
  readonly #records: FireRecords;
  readonly #abandoned: AbandonedFires;
  readonly #running: RunningWork;

  constructor(settings: FiresSettings) {
    this.#settings = { ...settings, emit: guarded('a listener of fire events', settings.emit) };
    this.#records = new FireRecords(settings);
    this.#abandoned = new AbandonedFires(this.#records, this.#settings);
    this.#running = new RunningWork(settings.clock);
  }

  /**
   * Runs `work` if this instance is the first to claim the fire of this tick. Otherwise resolves to undefined.
   *
   * 1. Find the fire that the tick is for.
   * 2. Claim it, and repeat the claim while the store does not answer: for half an interval, at most 30 s.
   * 3. Claimed: run.
   * 4. Taken by another instance: watch that run.
   *
   * @throws the error of `work`, or that of the store when it did not answer in time: then the fire does not run here
   */
  async tick<T>(job: Job, work: () => T | Promise<T>): Promise<T | undefined> {
    const fire = fireAt(job.next, this.#settings.clock.wall(), job.tolerance);
    return Number.isFinite(fire.instant) ? this.tickAt(job.id, fire, work) : undefined;
  }

  /** As `tick`, for a fire whose instant the caller knows. */
  async tickAt<T>(
    id: string,
    { instant, gap = UNKNOWN_GAP }: Pick<Fire, 'instant'> & Partial<Fire>,
    work: () => T | Promise<T>,
  ): Promise<T | undefined> {
    const { clock, instance, emit } = this.#settings;
    // Each tick is an attempt of its own: a clock that was set back makes an instance fire the same instant again.
    const attempt = `${instance} ${newHolder()}`;
    const memory = memoryOf(gap);
    const claimed = await this.#records.persist(Math.min(gap / 2, LONGEST_CLAIM), () =>
      this.#records.claim(id, instant, attempt, memory),
    );
    emit({ type: claimed ? 'fire-claimed' : 'fire-taken', job: id, instant });
    if (claimed) return this.#running.run(() => this.#run(id, instant, memory, work));
    // The fact of an older fire has run out.
    if (Math.abs(clock.wall() - instant) < this.#settings.aliveFor) this.#abandoned.watch(id, instant);
    return undefined;
  }

  /**
   * True when nobody claimed the newest instant that has passed. A job that the store does not know has missed nothing:
   * its history begins with this call.
   */
  async isMissed(job: Job): Promise<boolean> {
    const { clock, instance } = this.#settings;
    const now = clock.wall();
    const newest = newestInstant(job.next, now);
    const { instant, gap } = fireAt(job.next, now, job.tolerance);
    // The next fire is due within the tolerance, and stands for those before it.
    if (instant !== newest || !Number.isFinite(newest)) return false;
    return this.#records.persist(Infinity, async () => {
      const { last } = await this.#records.look(job.id);
      if (last) return last.instant < newest;
      if (await this.#records.claim(job.id, newest, `${instance} ${newHolder()}`, memoryOf(gap))) {
        await this.#records.setLast(job.id, { instant: newest, by: instance, done: true }, memoryOf(gap));
      }
      return false;
    });
  }

  /** Reports the newest fire of a job if the instance that ran it died before this one started. */
  async checkLast(job: Job): Promise<void> {
    const { last } = await this.#records.persist(Infinity, () => this.#records.look(job.id));
    if (last && !last.done) this.#abandoned.watch(job.id, last.instant, true);
  }

  /** Resolves with true when all runs ended within `grace`. After it no abandoned fire is reported. */
  async close(grace: Milliseconds): Promise<boolean> {
    this.#records.close();
    this.#abandoned.close();
    return this.#running.drained(grace);
  }

  async #run<T>(job: string, instant: number, memory: Milliseconds, work: () => T | Promise<T>): Promise<T> {
    const { instance, aliveFor, clock } = this.#settings;
    const last = { instant, by: instance };
    // A record that cannot be written does not keep the work from running.
    const refresh = (): Promise<unknown> => this.#records.runs(job, instant).catch(() => undefined);
    let refreshed = refresh();
    await Promise.all([refreshed, this.#records.setLast(job, { ...last, done: false }, memory).catch(() => undefined)]);
    let ended = false;
    const beat = (): void => {
      clock.after(aliveFor / 3, () => {
        if (ended) return;
        refreshed = refresh();
        beat();
      });
    };
    beat();
    try {
      return await runInside(this, undefined, work, instant);
    } finally {
      ended = true;
      // The caller has its result, and does not wait for the records. `close` does.
      void this.#running
        .run(() =>
          this.#records.persist(aliveFor, async () => {
            await refreshed;
            await this.#records.done(job, instant);
            const newest = (await this.#records.look(job)).last;
            if (newest?.instant === instant) await this.#records.setLast(job, { ...last, done: true }, memory);
          }),
        )
        .catch(() => undefined);
    }
  }
}

/** A job that several instances fire. */
export interface Job {
  readonly id: string;
  readonly next: NextInstant;
  /** The time by which a tick may come before its instant. */
  readonly tolerance: Milliseconds;
}

export type FiresSettings = FireRecordsSettings & AbandonedFiresSettings;
