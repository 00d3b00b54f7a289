import type { Clock, Timer } from '../core/clock.js';
import type { LockEvent } from '../core/events.js';
import type { FireRecords } from './fire-records.js';

export interface AbandonedFiresSettings {
  /** Id of this instance. */
  readonly instance: string;
  readonly clock: Clock;
  readonly emit: (event: LockEvent) => void;
}

/**
 * Watches the runs of other instances, and reports a run whose instance died. Each instance that saw the fire watches
 * it; the store picks the one that reports.
 *
 * Not covered: a fire that no instance watches, because all of them ended. The next start of an application looks at the
 * newest fire of each of its jobs.
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
   * Watches one fire until its run is done or dead.
   *
   * @param isClaimed the fire is known to be claimed; without it, a later fire of the job may be the claimed one
   */
  watch(job: string, instant: number, isClaimed = false): void {
    const { instance, emit } = this.#settings;
    const records = this.#records;
    this.#after((isClaimed ? 1.25 : 0.25) * records.aliveFor, async () => {
      const { run, last } = await records.persist(Infinity, () => records.look(job, instant));
      const newest = last?.instant === instant ? last : undefined;
      if (run === 'done' || newest?.done) return;
      if (run === 'runs' || !isClaimed) {
        if (run === 'runs' || !last || last.instant <= instant) this.watch(job, instant, true);
        return;
      }
      const mine = await records.persist(Infinity, () => records.claimReport(job, instant, instance));
      if (mine) emit({ type: 'fire-abandoned', job, instant, by: newest?.by });
    });
  }

  /** Nothing is reported any more. */
  close(): void {
    this.#closed = true;
    for (const timer of this.#timers) timer.cancel();
  }

  #after(milliseconds: number, task: () => Promise<void>): void {
    const timer = this.#settings.clock.after(milliseconds, () => {
      this.#timers.delete(timer);
      // A task fails only because this was closed: nobody needs its error.
      if (!this.#closed) task().catch(() => undefined);
    });
    this.#timers.add(timer);
  }
}
