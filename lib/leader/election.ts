import { backoff } from '../core/backoff.js';
import { detached } from '../core/call-chain.js';
import { type LockLostError, LockServiceClosedError, NotLeaderError } from '../core/errors.js';
import type { LeaseHandle } from '../core/lease.js';
import type { LockRecord } from '../core/lock-driver.js';
import type { LockManager } from '../core/lock-manager.js';
import { LeaderWork } from './leader-work.js';
import {
  type InstanceInfo,
  type LeadershipState,
  type Member,
  type Role,
  type Term,
  toLeader,
  toLeaseMetadata,
  toMember,
} from './leadership.js';

export interface ElectionSettings {
  readonly election: string;
  /** The name of its lease in the store. */
  readonly name: string;
  readonly leaseDuration: number;
  readonly renewDeadline: number;
  readonly retryPeriod: number;
  readonly autoCampaign: boolean;
  readonly releaseOnShutdown: boolean;
  /** Milliseconds that leader work has to end once the term is over. */
  readonly grace: number;
}

export interface ElectionListener {
  changed(state: LeadershipState): void;
  /** Something that an operator should know; the election goes on. */
  problem(message: string, cause?: unknown): void;
}

interface Leadership {
  readonly handle: LeaseHandle;
  readonly term: Term;
  readonly controller: AbortController;
  /** Resolves the promise that the election's loop waits for while leading. */
  readonly over: () => void;
  /** Resolves when the lease was released or given up. */
  readonly handedOver: Promise<void>;
}

/**
 * One election, seen from one instance. At most one instance leads at any moment: a leader stops leading at its renew
 * deadline, by its own clock, before its lease can have run out in the store. The instance does not campaign while code
 * of its earlier term still runs, and nothing else ever ends its campaigning.
 *
 * After client-go's leaderelection, except that leading is a comparison with the clock at every read, not a flag.
 */
export class Election {
  readonly settings: ElectionSettings;
  readonly #manager: LockManager;
  readonly #self: Member;
  readonly #listener: ElectionListener;
  readonly #work: LeaderWork;
  /** Aborts when the instance leaves the election for good. */
  readonly #left = new AbortController();
  #state: LeadershipState;
  #leadership: Leadership | undefined;
  #loop: Promise<void> | undefined;
  #wanted: boolean;
  #resigned = false;
  #interrupt: (() => void) | undefined;

  constructor(manager: LockManager, info: InstanceInfo, settings: ElectionSettings, listener: ElectionListener) {
    this.settings = settings;
    this.#manager = manager;
    this.#listener = listener;
    this.#work = new LeaderWork(manager.clock);
    this.#wanted = settings.autoCampaign;
    const since = manager.clock.wall();
    this.#self = toMember(info, since);
    this.#state = { election: settings.election, role: 'follower', leader: null, term: null, since };
  }

  /** Computed at every read: a leader whose deadline has passed is stepping down, whether or not the news is out. */
  get state(): LeadershipState {
    if (this.#state.role !== 'leader' || this.#leadership?.handle.held) return this.#state;
    return { ...this.#state, role: 'stepping-down', leader: null, term: null, reason: 'The renew deadline passed.' };
  }

  start(): void {
    this.#loop ??= detached(() => this.#run());
  }

  campaign(): void {
    this.#wanted = true;
    this.#resigned = false;
    this.#interrupt?.();
  }

  /** Ends the term; resolves when leader work has ended and the lease was handed over, or at once inside such work. */
  async resign(): Promise<void> {
    const leadership = this.#leadership;
    if (!leadership) return;
    this.#wanted = this.settings.autoCampaign;
    this.#resigned = true;
    this.#endTerm(leadership, 'Resigned.');
    if (!this.#work.isCaller) await leadership.handedOver;
  }

  /** Leaves the election: leading ends at once. Resolves when the lease was handed over or the grace period is over. */
  async stop(): Promise<void> {
    this.#left.abort(new LockServiceClosedError());
    if (this.#leadership) this.#endTerm(this.#leadership, 'The application is shutting down.');
    this.#interrupt?.();
    await this.#loop;
    this.#become({ role: 'stopped', leader: null });
  }

  /** Runs leader work: the hand-over and the next campaign wait for it. */
  track<T>(work: () => T | Promise<T>): Promise<T> {
    return this.#work.run(work);
  }

  notLeader(): NotLeaderError {
    return new NotLeaderError(this.settings.election, this.state.leader, this.settings.leaseDuration);
  }

  get #hasLeft(): boolean {
    return this.#left.signal.aborted;
  }

  async #run(): Promise<void> {
    while (!this.#hasLeft) {
      if (this.#resigned) {
        // Let another instance win, if there is one.
        this.#resigned = false;
        this.#become({ role: 'follower' });
        await this.#pause(this.settings.retryPeriod);
      } else if (this.#wanted) {
        this.#become({ role: 'candidate' });
        const handle = await this.#win();
        if (handle) await this.#lead(handle);
      } else {
        this.#become({ role: 'follower' });
        await this.#observe();
      }
    }
  }

  async #win(): Promise<LeaseHandle | undefined> {
    const { election, name, leaseDuration, renewDeadline, retryPeriod } = this.settings;
    for (let failures = 0; !this.#hasLeft; failures++) {
      try {
        return await this.#manager.acquire({
          key: election,
          name,
          ttl: leaseDuration,
          validFor: renewDeadline,
          renewEvery: retryPeriod,
          pollEvery: retryPeriod,
          limit: { wait: Infinity },
          signal: this.#left.signal,
          metadata: toLeaseMetadata(this.#self),
          onRefused: (record) => this.#saw(record),
        });
      } catch (error) {
        if (this.#hasLeft) break;
        this.#listener.problem(`Campaigning in election "${election}" failed; trying again.`, error);
        await this.#pause(backoff(failures, retryPeriod, Math.max(30_000, retryPeriod), this.#manager.random));
      }
    }
    return undefined;
  }

  async #lead(handle: LeaseHandle): Promise<void> {
    const controller = new AbortController();
    const term: Term = { number: handle.fencingToken, election: this.settings.election, signal: controller.signal };
    let over!: () => void;
    let handedOver!: () => void;
    const ended = new Promise<void>((resolve) => (over = resolve));
    const leadership: Leadership = {
      handle,
      term,
      controller,
      over,
      handedOver: new Promise((resolve) => (handedOver = resolve)),
    };
    this.#leadership = leadership;
    const { signal } = handle;
    signal.addEventListener('abort', () => this.#endTerm(leadership, (signal.reason as LockLostError).message));
    this.#become({ role: 'leader', leader: this.#self, term });
    if (this.#hasLeft) this.#endTerm(leadership, 'The application is shutting down.');

    await ended;
    await this.#handOver(handle);
    handedOver();
    // A term must not begin while code of the one before still runs.
    await this.#work.drained(this.#left.signal);
  }

  #endTerm(leadership: Leadership, reason: string): void {
    if (this.#leadership !== leadership) return;
    this.#leadership = undefined;
    this.#become({ role: 'stepping-down', leader: null, reason });
    leadership.controller.abort(this.notLeader());
    leadership.over();
  }

  /** Code of the term may still run: the lease is kept until it has ended, and left to its TTL if that takes too long. */
  async #handOver(handle: LeaseHandle): Promise<void> {
    const { election, grace, releaseOnShutdown } = this.settings;
    if (!(await this.#work.drained(grace))) {
      this.#listener.problem(
        `Leader work of election "${election}" still runs ${grace} ms after its term ended. This instance does not ` +
          'campaign before it has ended: let it obey its AbortSignal.',
      );
      this.#manager.abandon(handle.lease);
    } else if (this.#hasLeft && !releaseOnShutdown) {
      this.#manager.abandon(handle.lease);
    } else {
      await handle.release();
    }
  }

  async #observe(): Promise<void> {
    try {
      this.#saw(await this.#manager.inspect(this.settings.name));
    } catch {
      this.#saw(null);
    }
    await this.#pause(this.settings.retryPeriod);
  }

  #saw(record: LockRecord | null): void {
    const leader = record && record.instance !== this.#self.id ? toLeader(record) : null;
    if (leader?.id !== this.#state.leader?.id) this.#become({ role: this.#state.role, leader });
  }

  #pause(milliseconds: number): Promise<void> {
    if (this.#hasLeft) return Promise.resolve();
    return new Promise((resolve) => {
      this.#interrupt = resolve;
      this.#manager.clock.after(milliseconds, resolve);
    });
  }

  #become(change: { role: Role; leader?: Member | null; term?: Term; reason?: string }): void {
    const { election, role, leader, since } = this.#state;
    if (change.role === role && change.leader === undefined) return;
    this.#state = {
      election,
      role: change.role,
      leader: change.leader === undefined ? leader : change.leader,
      term: change.term ?? null,
      since: change.role === role ? since : this.#manager.clock.wall(),
      ...(change.reason === undefined ? {} : { reason: change.reason }),
    };
    this.#listener.changed(this.#state);
  }
}
