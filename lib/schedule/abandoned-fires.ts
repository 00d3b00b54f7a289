import type { Clock, Timer } from '../core/clock.js';
import type { Milliseconds } from '../core/duration.js';
import type { LockEvent } from '../core/events.js';
import { newHolder } from '../core/ids.js';
import type { FireRecords } from './fire-records.js';

/**
 * Watches the runs of other instances, and reports a run whose instance died:
 *
 * 1. Each instance that saw the fire watches it. The store picks one that reports it, once.
 * 2. A run counts as dead when its fact has run out and no record says that it is done. Its instance refreshes the fact
 *    three times in each `aliveFor`.
 *
 * Not covered:
 * - a fire that no instance watches, because all of them ended. The next start of an application looks at the newest fire
 *   of each of its jobs.
 * - a run whose instance lives, but could not reach the store for `aliveFor`: it is reported, too.
 * - an instance that dies between the pick and its report: nobody reports the fire.
 */
export class AbandonedFires {
  readonly #records: FireRecords;
  readonly #settings: AbandonedFiresSettings;
  readonly #timers = new Set<Timer>();
  #closed = false;

  constructor(records: FireRecords, settings: AbandonedFiresSettings) {
    this.#records = records;
    this.#settings = settings;
  }

  /**
   * Watches one fire until its run is done or dead:
   *
   * 1. Wait: long enough for the fact of a dead run to run out, or, before the fire is known to be claimed, for its
   *    claimant to write the fact.
   * 2. Done: the watch ends.
   * 3. The run goes on: begin again at 1.
   * 4. The fire was not known to be claimed: begin again at 1, as one that is. A later fire of the job is the claimed one:
   *    the watch ends.
   * 5. Dead: claim the report, and report.
   *
   * @param isClaimed the fire is known to be claimed; without it, a later fire of the job may be the claimed one
   */
  watch(job: string, instant: number, isClaimed = false): void {
    const { instance, emit } = this.#settings;
    const records = this.#records;
    // The id alone would not do: the instance may have reported this fire before, also in an earlier process.
    const attempt = `${instance} ${newHolder()}`;
    this.#after((isClaimed ? 1.25 : 0.25) * records.aliveFor, async () => {
      const { run, last } = await records.persist(Infinity, () => records.look(job, instant));
      const newest = last?.instant === instant ? last : undefined;
      if (run === 'done' || newest?.done) return;
      if (run === 'runs' || !isClaimed) {
        if (run === 'runs' || !last || last.instant <= instant) this.watch(job, instant, true);
        return;
      }
      const mine = await records.persist(Infinity, () => records.claimReport(job, instant, attempt));
      if (mine) emit({ type: 'fire-abandoned', job, instant, by: newest?.by });
    });
  }

  /** After it nothing is reported. */
  close(): void {
    this.#closed = true;
    for (const timer of this.#timers) timer.cancel();
  }

  #after(time: Milliseconds, task: () => Promise<void>): void {
    const timer = this.#settings.clock.after(time, () => {
      this.#timers.delete(timer);
      // A task fails only because the watches were closed. Nobody needs its error.
      if (!this.#closed) task().catch(() => undefined);
    });
    this.#timers.add(timer);
  }
}

export interface AbandonedFiresSettings {
  /** Id of this instance. */
  readonly instance: string;
  readonly clock: Clock;
  readonly emit: (event: LockEvent) => void;
}
