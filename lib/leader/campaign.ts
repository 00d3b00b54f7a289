import { backoff } from '../core/backoff.js';
import type { Milliseconds } from '../core/duration.js';
import { DriverUnavailableError } from '../core/errors.js';
import type { LockRecord } from '../core/lock-driver.js';
import type { LockManager } from '../locks/lock-manager.js';
import type { LockHandle } from '../locks/lock.js';
import { Pause } from './background.js';
import type { ElectionListener, ElectionSettings } from './election-settings.js';
import { type Member, toLeaseMetadata } from './leadership.js';

/** The longest pause after a failure. A longer `retryPeriod` takes its place. */
const LONGEST_PAUSE: Milliseconds = 30_000;

/**
 * One attempt to lead. It ends with the lease, or by `withdraw`. An error never ends it: the attempt is repeated, as in
 * `LeaderElector.acquire` of client-go.
 */
export class Campaign {
  readonly #manager: LockManager;
  readonly #settings: ElectionSettings;
  readonly #self: Member;
  readonly #listener: ElectionListener;
  readonly #observer: CampaignObserver;
  readonly #withdrawn = new AbortController();
  readonly #pause: Pause;
  /** The time of the first failure since the store answered last. */
  #failingSince: number | undefined;
  /** The name of the error that was reported since then. */
  #reported: string | undefined;

  constructor(
    manager: LockManager,
    settings: ElectionSettings,
    self: Member,
    listener: ElectionListener,
    observer: CampaignObserver,
  ) {
    this.#manager = manager;
    this.#settings = settings;
    this.#self = self;
    this.#listener = listener;
    this.#observer = observer;
    this.#pause = new Pause(manager.clock);
  }

  /**
   * Resolves with the lease, or with undefined when the campaign was withdrawn.
   *
   * 1. Acquire, without a limit for the wait. The engine repeats requests that the store does not answer.
   * 2. The lease was granted, or the campaign was withdrawn: end.
   * 3. Any other error: report it, pause, from half a `retryPeriod` up to 30 s, and begin again at 1.
   */
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

  /** A request failed, and is repeated. Failures that last for a `retryPeriod` are reported, once. */
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
    this.#observer.troubled(null);
  }

  /** Reports each kind of error once, until the store answers. */
  #troubled(cause: unknown): void {
    const { name, message } = cause instanceof Error ? cause : { name: typeof cause, message: String(cause) };
    if (this.#reported === name) return;
    this.#reported = name;
    const { name: election } = this.#settings;
    this.#observer.troubled(message);
    // The connection of the store has reported that the store is away, once for all elections.
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
        this.#observer.refused(record);
      },
      onFailed: (cause) => this.#failed(cause),
    });
  }
}

/** The election that a campaign is for. */
export interface CampaignObserver {
  /** The store answered that another instance has the lease. */
  refused(record: LockRecord | null): void;
  /** The reason, for people, why the campaign fails. Null: the store answers again. */
  troubled(reason: string | null): void;
}
