import { backoff } from '../core/backoff.js';
import { DriverUnavailableError } from '../core/errors.js';
import type { LockRecord } from '../core/lock-driver.js';
import type { LockManager } from '../locks/lock-manager.js';
import type { LockHandle } from '../locks/lock.js';
import { Pause } from './background.js';
import type { ElectionListener, ElectionSettings } from './election-settings.js';
import { type Member, toLeaseMetadata } from './leadership.js';

/** The longest pause after the store refused, in milliseconds; a longer `retryPeriod` is longer. */
const LONGEST_PAUSE = 30_000;

/** What an election learns of its campaign. */
export interface CampaignListener {
  /** The store answered that another has the lease. */
  refused(record: LockRecord | null): void;
  /** Why this instance cannot even be refused, for people; null when the store answers again. */
  troubled(reason: string | null): void;
}

/** One attempt to lead. It ends with the lease or by being withdrawn, never by an error. */
export class Campaign {
  readonly #manager: LockManager;
  readonly #settings: ElectionSettings;
  readonly #self: Member;
  readonly #listener: ElectionListener;
  readonly #news: CampaignListener;
  readonly #withdrawn = new AbortController();
  readonly #pause: Pause;
  /** When the first of the requests failed since the store answered the last time. */
  #failingSince: number | undefined;
  /** The kind of error that was reported since then. */
  #reported: string | undefined;

  constructor(
    manager: LockManager,
    settings: ElectionSettings,
    self: Member,
    listener: ElectionListener,
    news: CampaignListener,
  ) {
    this.#manager = manager;
    this.#settings = settings;
    this.#self = self;
    this.#listener = listener;
    this.#news = news;
    this.#pause = new Pause(manager.clock);
  }

  /** The lease, or undefined when the campaign was withdrawn. */
  async run(): Promise<LockHandle | undefined> {
    const { signal } = this.#withdrawn;
    for (let failures = 0; !signal.aborted; failures++) {
      try {
        return await this.#acquire();
      } catch (cause) {
        if (signal.aborted) break;
        const { name: election, retryPeriod } = this.#settings;
        this.#listener.report({ type: 'campaign-failed', election, cause });
        this.#troubled(cause);
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

  /** A request failed, and is repeated: that is news once it lasts. */
  #failed(cause: unknown): void {
    const now = this.#manager.clock.now();
    this.#failingSince ??= now;
    const { name: election, retryPeriod } = this.#settings;
    if (now - this.#failingSince < retryPeriod || this.#reported !== undefined) return;
    this.#listener.report({ type: 'campaign-failed', election, cause });
    this.#troubled(cause);
  }

  #answered(): void {
    this.#failingSince = undefined;
    if (this.#reported === undefined) return;
    this.#reported = undefined;
    this.#news.troubled(null);
  }

  /** Told once for each kind of error, until the store answers. */
  #troubled(cause: unknown): void {
    const { name, message } = cause instanceof Error ? cause : { name: typeof cause, message: String(cause) };
    if (this.#reported === name) return;
    this.#reported = name;
    const { name: election } = this.#settings;
    this.#news.troubled(message);
    // That the store is away has been said, for all elections.
    const isAway = this.#manager.isStoreDown && cause instanceof DriverUnavailableError && !cause.sent;
    if (isAway) return;
    this.#listener.problem(
      `Campaigning in election "${election}" failed; trying again until it works: ${message} ` +
        'As long as no instance gets an answer nobody can be elected.',
      cause,
    );
  }

  #acquire(): Promise<LockHandle> {
    const { name: election, storeKey, leaseDuration, renewDeadline, retryPeriod } = this.#settings;
    return this.#manager.acquire({
      key: election,
      storeKey,
      ttl: leaseDuration,
      validFor: renewDeadline,
      renewEvery: retryPeriod,
      pollEvery: retryPeriod,
      limit: { wait: Infinity },
      isBackground: true,
      signal: this.#withdrawn.signal,
      metadata: toLeaseMetadata(this.#self),
      onRefused: (record) => {
        this.#answered();
        this.#news.refused(record);
      },
      onFailed: (cause) => this.#failed(cause),
    });
  }
}
