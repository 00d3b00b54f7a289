import { detached } from '../core/detached.js';
import { NotLeaderError } from '../core/errors.js';
import type { LockManager } from '../locks/lock-manager.js';
import { Pause, within } from './background.js';
import { Campaign } from './campaign.js';
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

/** How long leaving waits until the store has forgotten the member, in milliseconds. */
const FORGOTTEN_WITHIN = 1000;

/**
 * One election, seen from one instance. At most one instance leads at any moment: a leader stops leading at its renew
 * deadline, by its own clock, before its lease can have run out in the store. The instance does not campaign while code
 * of its earlier term still runs, and stays out for a while after it resigned or flapped; nothing else ever ends its
 * campaigning.
 *
 * After client-go's leaderelection, except that leading is a comparison with the clock at every read, not a flag.
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
  /** Aborts when the instance leaves the election for good. */
  readonly #left = new AbortController();
  #state: LeadershipState;
  #loop: Promise<void> | undefined;
  #wanted: boolean;
  /** Until then the instance stays out, by the monotonic clock. */
  #notBefore = 0;
  /** Somebody called for a campaign since the last term ended. */
  #isUrged = false;
  #campaign: Campaign | undefined;
  readonly #pause: Pause;
  #unwatch: (() => void) | undefined;

  constructor(manager: LockManager, info: InstanceInfo, settings: ElectionSettings, listener: ElectionListener) {
    this.settings = settings;
    this.#manager = manager;
    this.#listener = guardedListener(listener);
    this.#wanted = settings.autoCampaign;
    this.#pause = new Pause(manager.clock);
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
    this.callbacks = this.#leading.callbacks;
  }

  /** Computed at every read: a leader whose deadline has passed is stepping down, whether or not the news is out. */
  get state(): LeadershipState {
    if (this.#state.role !== 'leader' || this.#leading.isHeld) return this.#state;
    return { ...this.#state, role: 'stepping-down', leader: null, term: null, reason: 'The renew deadline passed.' };
  }

  get self(): Member {
    return { ...this.#member, role: this.state.role };
  }

  start(): void {
    if (this.#loop || this.#hasLeft) return;
    const { facts } = this.#manager;
    this.#unwatch = facts?.watch(this.settings.membersScope, () => {
      if (this.#state.role !== 'leader') this.#view.look();
    });
    this.#loop = detached(() => this.#run());
    detached(() => this.#membership.announce());
  }

  campaign(): void {
    this.#wanted = true;
    this.#isUrged = this.#state.role !== 'leader';
    this.#notBefore = 0;
    this.#pause.end();
  }

  async resign(to?: string): Promise<void> {
    // A transfer that is refused changes nothing.
    if (to !== undefined) await this.#leading.nominate(to);
    this.#wanted = this.settings.autoCampaign;
    if (!this.#wanted) this.#campaign?.withdraw();
    await this.#leading.resign();
  }

  /** Leaves the election: leading ends at once. Resolves when the lease was handed over or the grace period is over. */
  async stop(reason: string): Promise<void> {
    this.#left.abort();
    this.#unwatch?.();
    this.#campaign?.withdraw();
    this.#leading.end('left', reason);
    this.#pause.end();
    await this.#loop;
    await within(this.#manager.clock, FORGOTTEN_WITHIN, this.#membership.leave());
    this.#become({ role: 'stopped', leader: null });
  }

  /** @throws DriverUnavailableError */
  async leader(): Promise<Member | null> {
    const leader = await this.#view.ask();
    return this.state.role === 'leader' ? this.self : leader;
  }

  /** Without a fact store: this instance and the leader. @throws DriverUnavailableError */
  async members(): Promise<Member[]> {
    if (this.#manager.facts) return (await this.#membership.list()).map(({ member }) => member);
    const leader = await this.leader();
    return leader && leader.id !== this.self.id ? [leader, this.self] : [this.self];
  }

  /** Calls `changed` now, and whenever the members may have changed. */
  watchMembers(changed: () => Promise<void>): () => void {
    return this.#membership.watch(changed);
  }

  /** Runs leader work: the hand-over and the next campaign wait for it. */
  track<T>(work: () => T | Promise<T>): Promise<T> {
    return this.#leading.work.run(work);
  }

  /** Whether the caller is leader work, and so cannot wait for its end. */
  get isLeaderWork(): boolean {
    return this.#leading.work.isCaller;
  }

  notLeader(): NotLeaderError {
    return new NotLeaderError(this.settings.name, this.state.leader, this.settings.leaseDuration);
  }

  get #hasLeft(): boolean {
    return this.#left.signal.aborted;
  }

  async #run(): Promise<void> {
    const { clock } = this.#manager;
    while (!this.#hasLeft) {
      if (this.#wanted && clock.now() >= this.#notBefore) {
        this.#become({ role: 'candidate' });
        await this.#campaignOnce();
      } else {
        this.#become({ role: 'follower' });
        this.#view.look();
        const rest = this.#wanted ? this.#notBefore - clock.now() : Infinity;
        if (!this.#hasLeft) await this.#pause.of(Math.min(this.settings.retryPeriod, rest));
      }
    }
  }

  async #campaignOnce(): Promise<void> {
    const campaign = new Campaign(this.#manager, this.settings, this.#member, this.#listener, {
      refused: (record) => this.#view.saw(record),
      troubled: (reason) => this.#become({ role: this.#state.role, reason }),
    });
    this.#campaign = campaign;
    const handle = await campaign.run();
    this.#campaign = undefined;
    if (!handle) return;
    // Withdrawn, or lost, at the last moment.
    if (!this.#wanted || this.#hasLeft || !handle.held) return handle.release();
    this.#isUrged = false;
    const rest = await this.#leading.lead(handle);
    if (!this.#isUrged) this.#notBefore = this.#manager.clock.now() + rest;
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
