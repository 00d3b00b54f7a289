import { LockConfigError, type LockLostError, type NotLeaderError } from '../core/errors.js';
import { onAbort } from '../core/shared-listener.js';
import type { LockHandle } from '../locks/lock-handle.js';
import type { LockManager } from '../locks/lock-manager.js';
import { LeaderWork } from '../locks/running-work.js';
import { ActiveTerm, type EndKind } from './active-term.js';
import { within } from './background.js';
import type { ElectionListener, ElectionSettings } from './election-settings.js';
import { FlapDamping } from './flap-damping.js';
import { assertCampaigns, preferredOf } from './hand-over.js';
import type { Member, StateChange } from './leadership.js';
import type { Membership } from './membership.js';
import { LeaderCallbacks } from './term-callbacks.js';

/** How long a hand-over waits for what the store knows of the members, in milliseconds. */
const MEMBERS_WITHIN = 500;

const NO_TRANSFER =
  'resign({ to }): this driver has no queue or no fact store, so it cannot choose among those who wait. Use a driver ' +
  'that has, or resign() without `to`.';

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

/**
 * The terms of one instance. At the end of a term, however it comes, its signal aborts at once; the lease is kept while
 * code of the term still runs, and left to its TTL if that takes longer than the grace period.
 */
export class Leading {
  readonly work: LeaderWork;
  readonly callbacks: LeaderCallbacks;
  readonly #context: LeadingContext;
  readonly #damping: FlapDamping;
  #active: ActiveTerm | undefined;

  constructor(context: LeadingContext) {
    const { settings, manager, listener } = context;
    const { name: election, grace } = settings;
    this.#context = context;
    this.#damping = new FlapDamping(settings, manager.random);
    this.work = new LeaderWork(manager.clock);
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

  /** One term. Resolves when code of it has ended, or the instance has left, with the milliseconds to stay out then. */
  async lead(handle: LockHandle): Promise<number> {
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
    // Whoever heard of the term may have ended it at once.
    if (this.#active === active) this.callbacks.started(term);

    const { kind, reason } = await active.over;
    unlisten();
    const lasted = manager.clock.now() - active.since;
    listener.report({ type: 'term-ended', election, term: term.number, reason, lasted });
    await this.#handOver(active, reason);
    active.settle();
    await this.work.drained(left);
    const rest = this.#damping.restAfter(lasted, kind === 'lost' || kind === 'failed');
    // After a resignation another instance is to win, if there is one.
    return kind === 'lost' ? rest : Math.max(rest, retryPeriod);
  }

  /** Does nothing when this instance does not lead. */
  end(kind: EndKind, reason: string): void {
    const active = this.#active;
    if (!active) return;
    this.#active = undefined;
    this.#context.become({ role: 'stepping-down', leader: null, reason });
    active.end({ kind, reason }, this.#context.notLeader());
  }

  /** Resolves when the lease was handed over; at once when called by leader work, which the hand-over waits for. */
  async resign(): Promise<void> {
    const active = this.#active;
    if (!active) return;
    this.end('resigned', 'Resigned.');
    if (!this.work.isCaller) await active.handedOver;
  }

  /** The member that the next hand-over of this term prefers. @throws when that is impossible */
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

  /** A hint: neither a slow store nor one that is down holds up the hand-over. */
  async #successorOf({ successor }: ActiveTerm): Promise<string | undefined> {
    const { manager, membership, self } = this.#context;
    if (successor !== undefined || !manager.facts || !manager.hasQueue) return successor;
    const members = await within(manager.clock, MEMBERS_WITHIN, membership.list()).catch(() => undefined);
    return members && preferredOf(members, self.id);
  }
}
