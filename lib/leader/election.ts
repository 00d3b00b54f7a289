import { detached } from '../core/detached.js';
import type { Milliseconds } from '../core/duration.js';
import { NotLeaderError } from '../core/errors.js';
import type { LockManager } from '../locks/lock-manager.js';
import { within } from './background.js';
import { Campaigning } from './campaigning.js';
import { type ElectionListener, type ElectionSettings, guardedListener } from './election-settings.js';
import { LeaderView } from './leader-view.js';
import {
  type InstanceInfo,
  isSameMember,
  type LeadershipState,
  type Member,
  nextState,
  type StateChange,
  toMember,
} from './leadership.js';
import { Leading } from './leading.js';
import { Membership } from './membership.js';
import { PeerRecords } from './peer-records.js';
import type { LeaderCallbacks } from './term-callbacks.js';

/** The time for which `stop` waits until the store has forgotten the member. */
const FORGOTTEN_WITHIN: Milliseconds = 1000;

/**
 * One election, seen from one instance (S9):
 *
 * 1. At most one instance leads at any moment. A leader stops leading at its renew deadline, by its own clock, before
 *    its lease can have run out in the store.
 * 2. Every read of the leadership is a comparison with the clock, not a flag (S2).
 * 3. The instance does not campaign while code of its earlier term still runs.
 * 4. After a resignation, or several short terms, the instance stays out for a while. Nothing else ends its campaigning.
 *
 * The timings are those of client-go's leaderelection: see ElectionOptions.
 *
 * Not covered:
 * - code that was paused, or that ignores the signal of its term: it may still write when another instance leads. The
 *   number of the term is a fencing token for that.
 * - more than the driver promises: an election is as exclusive as its lease is in the store.
 */
export class Election {
  readonly settings: ElectionSettings;
  readonly callbacks: LeaderCallbacks;
  readonly #manager: LockManager;
  readonly #listener: ElectionListener;
  readonly #member: Member;
  readonly #membership: Membership;
  readonly #view: LeaderView;
  readonly #leading: Leading;
  readonly #campaigning: Campaigning;
  /** Aborts when the instance leaves the election for good. */
  readonly #left = new AbortController();
  #state: LeadershipState;
  #unwatch: (() => void) | undefined;

  constructor(manager: LockManager, info: InstanceInfo, settings: ElectionSettings, listener: ElectionListener) {
    this.settings = settings;
    this.#manager = manager;
    this.#listener = guardedListener(listener);
    const since = manager.clock.wall();
    const self = toMember(info, 'leader', since);
    this.#member = self;
    this.#state = { election: settings.name, role: 'follower', leader: null, term: null, since };
    const peers = new PeerRecords(info, (message) => listener.problem(message));
    this.#view = new LeaderView(manager, settings, peers, (leader) => this.#sawLeader(leader));
    this.#membership = new Membership(manager, settings, () => this.self, peers, this.#listener);
    this.#leading = new Leading({
      manager,
      settings,
      listener: this.#listener,
      membership: this.#membership,
      self,
      left: this.#left.signal,
      become: (change) => this.#become(change),
      notLeader: () => this.notLeader(),
    });
    this.#campaigning = new Campaigning({
      manager,
      settings,
      listener: this.#listener,
      view: this.#view,
      self,
      left: this.#left.signal,
      role: () => this.#state.role,
      become: (change) => this.#become(change),
      lead: (handle) => this.#leading.lead(handle),
    });
    this.callbacks = this.#leading.callbacks;
  }

  /** Computed at each read: a leader whose renew deadline has passed is stepping down, even before that is published. */
  get state(): LeadershipState {
    if (this.#state.role !== 'leader' || this.#leading.isHeld) return this.#state;
    return { ...this.#state, role: 'stepping-down', leader: null, term: null, reason: 'The renew deadline passed.' };
  }

  get self(): Member {
    return { ...this.#member, role: this.state.role };
  }

  start(): void {
    if (this.#campaigning.isStarted || this.#left.signal.aborted) return;
    const { facts } = this.#manager;
    this.#unwatch = facts?.watch(this.settings.membersScope, () => {
      if (this.#state.role !== 'leader') this.#view.look();
    });
    this.#campaigning.start();
    detached(() => this.#membership.announce());
  }

  campaign(): void {
    if (!this.settings.observeOnly) this.#campaigning.urge();
  }

  async resign(to?: string): Promise<void> {
    // A nomination that is refused leaves the term as it was.
    if (to !== undefined) await this.#leading.nominate(to);
    this.#campaigning.relax();
    await this.#leading.resign();
  }

  /**
   * Leaves the election for good. A term ends at once. Resolves when the lease was handed over, or the grace period is
   * over.
   */
  async stop(reason: string): Promise<void> {
    this.#left.abort();
    this.#unwatch?.();
    this.#campaigning.withdraw();
    this.#leading.end('left', reason);
    await this.#campaigning.end();
    await within(this.#manager.clock, FORGOTTEN_WITHIN, this.#membership.leave());
    this.#become({ role: 'stopped', leader: null });
  }

  /** @throws DriverUnavailableError */
  async leader(): Promise<Member | null> {
    const leader = await this.#view.ask();
    return this.state.role === 'leader' ? this.self : leader;
  }

  /** All members. Without a fact store: this instance and the leader. @throws DriverUnavailableError */
  async members(): Promise<Member[]> {
    if (this.#manager.facts) return (await this.#membership.list()).map(({ member }) => member);
    const leader = await this.leader();
    return leader && leader.id !== this.self.id ? [leader, this.self] : [this.self];
  }

  /** Calls `changed` now, and whenever the members may have changed. */
  watchMembers(changed: () => Promise<void>): () => void {
    return this.#membership.watch(changed);
  }

  /** Runs leader work. The hand-over and the next campaign wait for it. */
  track<T>(work: () => T | Promise<T>): Promise<T> {
    return this.#leading.work.run(work);
  }

  /** True where the caller is leader work, which cannot wait for its own end. */
  get isLeaderWork(): boolean {
    return this.#leading.work.isCaller;
  }

  notLeader(): NotLeaderError {
    return new NotLeaderError(this.settings.name, this.state.leader, this.settings.leaseDuration);
  }

  #sawLeader(leader: Member | null): void {
    const { role, leader: known } = this.#state;
    if (role === 'leader' || role === 'stopped' || isSameMember(leader, known)) return;
    this.#become({ role, leader });
  }

  #become(change: StateChange): void {
    const { role } = this.#state;
    if (change.role === role && change.leader === undefined && change.reason === undefined) return;
    this.#state = nextState(this.#state, change, this.#manager.clock.wall());
    if (change.role !== role) this.#membership.announce();
    this.#listener.changed(this.#state);
    if (change.leader) this.callbacks.newLeader(change.leader, change.term ?? null);
  }
}
