import { backoff } from '../core/backoff.js';
import type { LeaseHandle } from '../core/lease.js';
import type { LockRecord } from '../core/lock-driver.js';
import type { LockManager } from '../core/lock-manager.js';
import { Pause } from './background.js';
import type { ElectionListener, ElectionSettings } from './election-settings.js';
import { type Member, toLeaseMetadata } from './leadership.js';

/** The longest pause after the store refused, in milliseconds; a longer `retryPeriod` is longer. */
const LONGEST_PAUSE = 30_000;

/** One attempt to lead. It ends with the lease or by being withdrawn, never by an error. */
export class Campaign {
  readonly #manager: LockManager;
  readonly #settings: ElectionSettings;
  readonly #self: Member;
  readonly #listener: ElectionListener;
  readonly #withdrawn = new AbortController();
  readonly #pause: Pause;

  constructor(manager: LockManager, settings: ElectionSettings, self: Member, listener: ElectionListener) {
    this.#manager = manager;
    this.#settings = settings;
    this.#self = self;
    this.#listener = listener;
    this.#pause = new Pause(manager.clock);
  }

  /** The lease, or undefined when the campaign was withdrawn. */
  async run(onRefused: (record: LockRecord | null) => void): Promise<LeaseHandle | undefined> {
    const { signal } = this.#withdrawn;
    for (let failures = 0; !signal.aborted; failures++) {
      try {
        return await this.#acquire(onRefused);
      } catch (cause) {
        if (signal.aborted) break;
        const { election, retryPeriod } = this.#settings;
        this.#listener.problem(`Campaigning in election "${election}" failed; trying again.`, cause);
        this.#listener.report({ type: 'campaign-failed', election, cause });
        const longest = Math.max(LONGEST_PAUSE, retryPeriod);
        if (!signal.aborted) await this.#pause.of(backoff(failures, retryPeriod, longest, this.#manager.random));
      }
    }
    return undefined;
  }

  withdraw(): void {
    this.#withdrawn.abort();
    this.#pause.end();
  }

  #acquire(onRefused: (record: LockRecord | null) => void): Promise<LeaseHandle> {
    const { election, name, leaseDuration, renewDeadline, retryPeriod } = this.#settings;
    return this.#manager.acquire({
      key: election,
      name,
      ttl: leaseDuration,
      validFor: renewDeadline,
      renewEvery: retryPeriod,
      pollEvery: retryPeriod,
      limit: { wait: Infinity },
      isBackground: true,
      signal: this.#withdrawn.signal,
      metadata: toLeaseMetadata(this.#self),
      onRefused,
    });
  }
}
