import { backoff } from '../core/backoff.js';
import type { Timer } from '../core/clock.js';
import { LockConfigError } from '../core/errors.js';
import { newHolder } from '../core/ids.js';
import type { LockManager } from '../locks/lock-manager.js';
import { coalesced } from './background.js';
import type { ElectionListener, ElectionSettings } from './election-settings.js';
import type { Member } from './leadership.js';
import type { Candidacy, PeerRecords } from './peer-records.js';

/** The number of checks for another process with the same id, after an instance joined. */
const TWIN_CHECKS = 3;
const CANNOT_BE_STORED = 'The store refuses to keep the members of an election: no instance can list them.';

/**
 * The members of an election, this instance among them. Members are hints for people and for the hand-over. No safety
 * depends on them.
 *
 * 1. The store is written to at each change of role, and every quarter of a lease duration.
 * 2. A member whose process died disappears from the list after at most three quarters of a lease duration. A watch
 *    notices that at most a quarter later.
 *
 * Not covered: two processes with one instance id. Only one of them is listed. Each process that notices the other one
 * reports it once.
 */
export class Membership {
  readonly #manager: LockManager;
  readonly #settings: ElectionSettings;
  readonly #self: () => Member;
  readonly #peers: PeerRecords;
  readonly #listener: ElectionListener;
  readonly #process = newHolder();
  /** The text that was written last. Undefined before the first write. */
  #written: string | undefined;
  #writing: Promise<void> | undefined;
  #failures = 0;
  #checks = TWIN_CHECKS;
  #hasTwin = false;
  #refresh: Timer | undefined;
  #left = false;

  constructor(
    manager: LockManager,
    settings: ElectionSettings,
    self: () => Member,
    peers: PeerRecords,
    listener: ElectionListener,
  ) {
    this.#peers = peers;
    this.#manager = manager;
    this.#settings = settings;
    this.#self = self;
    this.#listener = listener;
  }

  /** Writes the state of this instance into the store, now and from then on until `leave`. */
  announce(): void {
    if (!this.#manager.facts || this.#settings.observeOnly || this.#left || this.#writing) return;
    this.#refresh?.cancel();
    this.#writing = this.#write();
  }

  /** Resolves when the store has forgotten this instance, or did not answer. */
  async leave(): Promise<void> {
    this.#left = true;
    this.#refresh?.cancel();
    if (!this.#writing && this.#written === undefined) return;
    // A write that arrives after the removal would bring the member back.
    await this.#writing;
    await this.#manager.facts?.remove(this.#settings.membersScope, this.#self().id).catch(() => undefined);
  }

  /** All members, in the order in which they joined. @throws DriverUnavailableError */
  async list(): Promise<Candidacy[]> {
    const isWritten = this.#written !== undefined;
    const self = this.#self();
    const facts = await this.#manager.facts!.list(this.#settings.membersScope);
    const members = [...facts].flatMap(([id, fact]) => this.#peers.candidacy(id, fact) ?? []);
    const own = members.findIndex(({ member }) => member.id === self.id);
    // This process wrote before. So the other one wrote later, and is alive.
    if (isWritten && !this.#left && own >= 0 && members[own]!.process !== this.#process) this.#foundTwin();
    if (own >= 0) members.splice(own, 1);
    if (self.role !== 'stopped' && !this.#settings.observeOnly) members.push(this.#candidacy());
    return members.sort((a, b) => a.member.joinedAt - b.member.joinedAt || (a.member.id < b.member.id ? -1 : 1));
  }

  /** Calls `changed` now, whenever a member may have changed, and often enough to notice members that died. */
  watch(changed: () => Promise<void>): () => void {
    const look = coalesced(changed);
    const { membersScope, leaseDuration, retryPeriod } = this.#settings;
    const unwatch = this.#manager.facts?.watch(membersScope, look);
    let timer: Timer | undefined;
    const poll = (): void => {
      look();
      timer = this.#manager.clock.after(Math.min(retryPeriod, leaseDuration / 4), poll);
    };
    poll();
    return () => {
      timer?.cancel();
      unwatch?.();
    };
  }

  async #write(): Promise<void> {
    const { clock, random } = this.#manager;
    const { membersScope, leaseDuration } = this.#settings;
    const ttl = leaseDuration * 0.75;
    try {
      if (this.#written !== undefined && this.#checks > 0) await this.#checkForTwin();
      do {
        const fact = this.#fact();
        await this.#manager.facts!.put(membersScope, this.#self().id, fact, ttl);
        this.#written = fact;
      } while (!this.#left && this.#written !== this.#fact());
      this.#failures = 0;
    } catch (error) {
      if (error instanceof LockConfigError && this.#failures === 0) this.#listener.problem(CANNOT_BE_STORED, error);
      this.#failures++;
    }
    this.#writing = undefined;
    if (this.#left) return;
    const delay = this.#failures === 0 ? ttl / 3 : backoff(this.#failures - 1, 100, ttl / 3, random);
    this.#refresh = clock.after(delay, () => this.announce());
  }

  async #checkForTwin(): Promise<void> {
    this.#checks--;
    await this.list();
  }

  #foundTwin(): void {
    if (this.#hasTwin) return;
    this.#hasTwin = true;
    const { name: election } = this.#settings;
    const { id } = this.#self();
    this.#listener.problem(
      `Another running process takes part in election "${election}" with the instance id "${id}" of this one. Neither ` +
        'sees the other as the leader, and only one of them is listed. Give each process its own `instance.id`.',
    );
    this.#listener.report({ type: 'instance-id-taken', election, id });
  }

  #candidacy(): Candidacy {
    return { member: this.#self(), priority: this.#settings.priority, process: this.#process };
  }

  #fact(): string {
    const { member, priority, process } = this.#candidacy();
    return JSON.stringify({ ...member, id: undefined, priority, process });
  }
}
