import type { Milliseconds } from '../core/duration.js';
import { LockConfigError, MemberNotFoundError, type NotLeaderError } from '../core/errors.js';
import type { LockLostError } from '../core/lock-errors.js';
import { onAbort } from '../core/shared-listener.js';
import type { LockManager } from '../locks/lock-manager.js';
import type { LockHandle } from '../locks/lock.js';
import { RunningWork } from '../locks/running-work.js';
import { ActiveTerm, type EndKind } from './active-term.js';
import { within } from './background.js';
import type { ElectionListener, ElectionSettings } from './election-settings.js';
import { FlapDamping } from './flap-damping.js';
import type { Member, StateChange } from './leadership.js';
import type { Membership } from './membership.js';
import type { Candidacy } from './peer-records.js';
import { LeaderCallbacks } from './term-callbacks.js';

/** The time for which a hand-over waits for the list of members. */
const MEMBERS_WITHIN: Milliseconds = 500;

const NO_TRANSFER =
  'resign({ to }): this driver has no queue or no fact store, so it cannot choose among those who wait. Use a driver ' +
  'that has, or resign() without `to`.';

/**
 * The terms of one instance (S8, S9). At the end of a term, whatever ended it:
 *
 * 1. The signal of the term aborts at once.
 * 2. The lease is kept while leader work and callbacks of the term still run.
 * 3. Then the lease is handed over. Where that code runs longer than the grace period, the lease is left to its TTL.
 */
export class Leading {
  readonly work: RunningWork;
  readonly callbacks: LeaderCallbacks;
  readonly #context: LeadingContext;
  readonly #damping: FlapDamping;
  #active: ActiveTerm | undefined;

  constructor(context: LeadingContext) {
    const { settings, manager, listener } = context;
    const { name: election, grace } = settings;
    this.#context = context;
    this.#damping = new FlapDamping(settings, manager.random);
    this.work = new RunningWork(manager.clock);
    this.callbacks = new LeaderCallbacks({
      clock: manager.clock,
      grace,
      track: (work) => this.work.run(work),
      failed: (callback, cause, during) => {
        listener.problem(`${callback}, a callback of election "${election}", failed.`, cause);
        listener.report({ type: 'callback-failed', election, callback, cause });
        if (during && this.#active?.term === during) this.end('failed', `${callback} failed.`);
      },
    });
  }

  get isHeld(): boolean {
    return this.#active?.handle.held ?? false;
  }

  /**
   * Leads for one term:
   *
   * 1. Publish the term, and call the `started` callbacks.
   * 2. Wait for its end: a lost lease, a failed callback, a resignation, or the instance leaves the election.
   * 3. Hand the lease over.
   * 4. Wait until the code of the term has ended, however long it takes, unless the instance leaves the election.
   *
   * Resolves with the time for which the instance stays out.
   */
  async lead(handle: LockHandle): Promise<Milliseconds> {
    const { manager, settings, listener, self, left, become } = this.#context;
    const { name: election, retryPeriod } = settings;
    const active = new ActiveTerm(election, handle, manager.clock.now());
    const { term } = active;
    this.#active = active;
    const unlisten = onAbort(handle.signal, () => {
      if (this.#active === active) this.end('lost', (handle.signal.reason as LockLostError).message);
    });
    listener.report({ type: 'elected', election, term: term.number });
    become({ role: 'leader', leader: self, term });
    // A listener may have ended the term at once.
    if (this.#active === active) this.callbacks.started(term);

    const { kind, reason } = await active.over;
    unlisten();
    const lasted = manager.clock.now() - active.since;
    listener.report({ type: 'term-ended', election, term: term.number, reason, lasted });
    await this.#handOver(active, reason);
    active.settle();
    await this.work.drained(left);
    const rest = this.#damping.restAfter(lasted, kind === 'lost' || kind === 'failed');
    // After a resignation, the rest lets another instance win, if there is one.
    return kind === 'lost' ? rest : Math.max(rest, retryPeriod);
  }

  /** Ends the term. Does nothing where this instance does not lead. */
  end(kind: EndKind, reason: string): void {
    const active = this.#active;
    if (!active) return;
    this.#active = undefined;
    this.#context.become({ role: 'stepping-down', leader: null, reason });
    active.end({ kind, reason }, this.#context.notLeader());
  }

  /** Resolves when the lease was handed over. For leader work, at once: the hand-over waits for that work. */
  async resign(): Promise<void> {
    const active = this.#active;
    if (!active) return;
    this.end('resigned', 'Resigned.');
    if (!this.work.isCaller) await active.handedOver;
  }

  /**
   * Chooses the member that gets the lease at the end of this term.
   *
   * @throws NotLeaderError, LockConfigError, MemberNotFoundError or DriverUnavailableError
   */
  async nominate(to: string): Promise<void> {
    const active = this.#active;
    const { manager, membership, settings, self, notLeader } = this.#context;
    if (!active?.handle.held) throw notLeader();
    if (!manager.facts || !manager.hasQueue) throw new LockConfigError(NO_TRANSFER);
    const members = await membership.list();
    assertCampaigns(members, self.id, settings.name, to);
    if (this.#active !== active) throw notLeader();
    active.successor = to;
  }

  /**
   * 1. Ask for the members, to choose a successor, and call the `stopped` callbacks.
   * 2. Wait until the code of the term has ended, for at most the grace period.
   * 3. The code still runs, or the lease is not to be released at shutdown: leave the lease to its TTL.
   * 4. Otherwise give the lease to the successor, or to the first in the queue where none was chosen.
   */
  async #handOver(active: ActiveTerm, reason: string): Promise<void> {
    const { manager, settings, listener, left } = this.#context;
    const { name: election, grace, releaseOnShutdown } = settings;
    const successor = this.#successorOf(active);
    void this.callbacks.stopped(reason);
    const running = this.work.running;
    const isDrained = await this.work.drained(grace);
    if (running > 0) {
      const unfinished = this.work.running;
      const finished = running - unfinished;
      listener.report({ type: 'drained', election, term: active.term.number, finished, unfinished });
    }
    if (!isDrained) {
      listener.problem(
        `Leader work of election "${election}" still runs ${grace} ms after its term ended. This instance does not ` +
          'campaign before it has ended: let it obey its AbortSignal.',
      );
      manager.abandon(active.handle.hold);
    } else if (left.aborted && !releaseOnShutdown) {
      manager.abandon(active.handle.hold);
    } else {
      await active.handle.release(await successor);
    }
  }

  /** Undefined where the store is slow or down: the choice does not delay the hand-over. */
  async #successorOf({ successor }: ActiveTerm): Promise<string | undefined> {
    const { manager, membership, self } = this.#context;
    if (successor !== undefined || !manager.facts || !manager.hasQueue) return successor;
    const members = await within(manager.clock, MEMBERS_WITHIN, membership.list()).catch(() => undefined);
    return members && preferredOf(members, self.id);
  }
}

export interface LeadingContext {
  readonly manager: LockManager;
  readonly settings: ElectionSettings;
  readonly listener: ElectionListener;
  readonly membership: Membership;
  readonly self: Member;
  /** Aborts when the instance leaves the election for good. */
  readonly left: AbortSignal;
  become(change: StateChange): void;
  notLeader(): NotLeaderError;
}

/** Id of the candidate with the highest priority. Undefined where all have the same: the order of the queue decides. */
export function preferredOf(members: readonly Candidacy[], self: string): string | undefined {
  const candidates = candidatesOf(members, self);
  const highest = Math.max(...candidates.map(({ priority }) => priority));
  const preferred = candidates.filter(({ priority }) => priority === highest);
  return preferred.length < candidates.length ? preferred[0]!.member.id : undefined;
}

/** @throws MemberNotFoundError unless the instance campaigns */
export function assertCampaigns(members: readonly Candidacy[], self: string, election: string, to: string): void {
  const ids = candidatesOf(members, self).map(({ member }) => member.id);
  if (!ids.includes(to)) throw new MemberNotFoundError(election, to, ids);
}

function candidatesOf(members: readonly Candidacy[], self: string): Candidacy[] {
  return members.filter(({ member }) => member.role === 'candidate' && member.id !== self);
}
