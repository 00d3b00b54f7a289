import { guarded } from '../core/guarded.js';
import { newHolder } from '../core/ids.js';
import { runInside } from '../locks/call-chain.js';
import { RunningWork } from '../locks/running-work.js';
import { AbandonedFires, type AbandonedFiresSettings } from './abandoned-fires.js';
import { FireRecords, type FireRecordsSettings } from './fire-records.js';
import { type Fire, fireAt, newestInstant, type NextInstant } from './schedule.js';

/** A job that several instances fire. */
export interface Job {
  readonly id: string;
  readonly next: NextInstant;
  /** Milliseconds by which a tick may come before its instant. */
  readonly tolerance: number;
}

export type FiresSettings = FireRecordsSettings & AbandonedFiresSettings;

const DAY = 24 * 3600 * 1000;
const LONGEST_MEMORY = 3 * 366 * DAY;
/** Milliseconds between two fires, where only the instant of one is known. */
const UNKNOWN_GAP = 10 * DAY;
/** Milliseconds for which a tick asks the store again, at most. */
const LONGEST_CLAIM = 30_000;

/**
 * Each fire of a job runs at most once over all instances. The instance that moves the job's number forward to the
 * instant of the fire runs it; the store moves the number atomically.
 *
 * 1. The claim comes before the run. A claimant that dies leaves a fire that nobody runs. With the claim after the run,
 *    two instances could run one fire. Neither order gives exactly once.
 * 2. The clocks of the instances need not agree. An instant is never claimed twice, and never after a later one: the
 *    instance whose clock is ahead claims the fires, and one whose clock is behind comes too late.
 *
 * Not covered: a store that loses its data.
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
   * Runs `work` if this instance is the first to claim the fire of this tick. Otherwise it resolves to undefined.
   *
   * @throws the error of `work`, or that of the store when it did not answer for half an interval, at most 30 s: then the
   *   fire does not run here
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
    // Each tick is an attempt of its own: after its clock was set back, an instance fires the same instant again.
    const attempt = `${instance} ${newHolder()}`;
    const memory = memoryOf(gap);
    const claimed = await this.#records.persist(Math.min(gap / 2, LONGEST_CLAIM), () =>
      this.#records.claim(id, instant, attempt, memory),
    );
    emit({ type: claimed ? 'fire-claimed' : 'fire-taken', job: id, instant });
    if (claimed) return this.#running.run(() => this.#run(id, instant, memory, work));
    // The record of an older fire is gone.
    if (Math.abs(clock.wall() - instant) < this.#settings.aliveFor) this.#abandoned.watch(id, instant);
    return undefined;
  }

  /**
   * True when nobody claimed the newest instant that has passed. A job that the store does not know has missed nothing:
   * it begins now.
   */
  async isMissed(job: Job): Promise<boolean> {
    const { clock, instance } = this.#settings;
    const now = clock.wall();
    const newest = newestInstant(job.next, now);
    const { instant, gap } = fireAt(job.next, now, job.tolerance);
    // The next fire is due, and stands for those before it.
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

  /** True when all runs ended within `grace` milliseconds. Nothing is reported any more. */
  async close(grace: number): Promise<boolean> {
    this.#records.close();
    this.#abandoned.close();
    return this.#running.drained(grace);
  }

  async #run<T>(job: string, instant: number, memory: number, work: () => T | Promise<T>): Promise<T> {
    const { instance, aliveFor, clock } = this.#settings;
    const last = { instant, by: instance };
    // The run does not depend on its records.
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
      // The caller does not wait for the records: it has the result.
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

/** Milliseconds for which a claim is remembered: a late tick must still find it, and a missed fire can be caught up. */
function memoryOf(gap: number): number {
  return Math.min(Math.max(DAY, 3 * gap), LONGEST_MEMORY);
}
