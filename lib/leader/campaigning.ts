import { detached } from '../core/detached.js';
import type { Milliseconds } from '../core/duration.js';
import type { LockHandle } from '../locks/lock.js';
import type { LockManager } from '../locks/lock-manager.js';
import { Pause } from './background.js';
import { Campaign } from './campaign.js';
import type { ElectionListener, ElectionSettings } from './election-settings.js';
import type { LeaderView } from './leader-view.js';
import type { Member, Role, StateChange } from './leadership.js';

/**
 * Decides when the instance campaigns:
 *
 * 1. It campaigns from the start with `autoCampaign`, and after `campaign()`.
 * 2. A campaign ends with a term, or because it was withdrawn. No error ends it.
 * 3. The next campaign begins after the term and after its rest; `campaign()` ends the rest.
 */
export class Campaigning {
  readonly #context: CampaigningContext;
  readonly #pause: Pause;
  #wanted: boolean;
  /** The end of the rest, by the monotonic clock. */
  #notBefore = 0;
  /** `urge` was called since this instance stopped leading: no rest follows the term. */
  #isUrged = false;
  #campaign: Campaign | undefined;
  #loop: Promise<void> | undefined;

  constructor(context: CampaigningContext) {
    this.#context = context;
    this.#pause = new Pause(context.manager.clock);
    this.#wanted = context.settings.autoCampaign;
  }

  get isStarted(): boolean {
    return this.#loop !== undefined;
  }

  start(): void {
    this.#loop = detached(() => this.#run());
  }

  /** Campaigns at once, or after the term that this instance leads. Ends a rest. */
  urge(): void {
    this.#wanted = true;
    this.#isUrged = this.#context.role() !== 'leader';
    this.#notBefore = 0;
    this.#pause.end();
  }

  /** After a resignation: without `autoCampaign` the instance stops campaigning. */
  relax(): void {
    this.#wanted = this.#context.settings.autoCampaign;
    if (!this.#wanted) this.#campaign?.withdraw();
  }

  withdraw(): void {
    this.#campaign?.withdraw();
  }

  /** Resolves when the last campaign and the last term have ended. `left` has aborted before. */
  async end(): Promise<void> {
    this.#pause.end();
    await this.#loop;
  }

  /**
   * Until the instance leaves the election:
   *
   * 1. The instance wants to lead, and its rest is over: campaign, and lead the term that the campaign wins.
   * 2. Otherwise follow: ask who leads, and pause for a `retryPeriod`, or until the rest ends or `urge` is called.
   */
  async #run(): Promise<void> {
    const { manager, settings, view, left, become } = this.#context;
    const { clock } = manager;
    while (!left.aborted) {
      if (this.#wanted && clock.now() >= this.#notBefore) {
        become({ role: 'candidate' });
        await this.#campaignOnce();
      } else {
        become({ role: 'follower' });
        view.look();
        const rest = this.#wanted ? this.#notBefore - clock.now() : Infinity;
        if (!left.aborted) await this.#pause.of(Math.min(settings.retryPeriod, rest));
      }
    }
  }

  async #campaignOnce(): Promise<void> {
    const { manager, settings, listener, view, self, left, role, become, lead } = this.#context;
    const campaign = new Campaign(manager, settings, self, listener, {
      refused: (record) => view.saw(record),
      troubled: (reason) => become({ role: role(), reason }),
    });
    this.#campaign = campaign;
    const handle = await campaign.run();
    this.#campaign = undefined;
    if (!handle) return;
    // The campaign was withdrawn, or the lease was lost, just as the store granted it.
    if (!this.#wanted || left.aborted || !handle.held) return handle.release();
    this.#isUrged = false;
    const rest = await lead(handle);
    if (!this.#isUrged) this.#notBefore = manager.clock.now() + rest;
  }
}

export interface CampaigningContext {
  readonly manager: LockManager;
  readonly settings: ElectionSettings;
  readonly listener: ElectionListener;
  readonly view: LeaderView;
  readonly self: Member;
  /** Aborts when the instance leaves the election for good. */
  readonly left: AbortSignal;
  role(): Role;
  become(change: StateChange): void;
  /** Leads for one term. Resolves with the time for which the instance stays out after it. */
  lead(handle: LockHandle): Promise<Milliseconds>;
}
