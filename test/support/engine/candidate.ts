import type { LeaderEvent, LeadershipState } from 'nestjs-dist-lock';
import type { ElectionListener, ElectionSettings } from '../../../lib/leader/election-settings.js';
import { Election } from '../../../lib/leader/election.js';
import { LeaderService } from '../../../lib/leader/leader.service.js';
import type { LockManager } from '../../../lib/locks/lock-manager.js';
import type { Engine } from './engine.js';
import type { FaultyDriver } from './faulty-driver.js';

interface AnyEngine {
  readonly manager: LockManager;
  readonly driver: FaultyDriver;
}

/** One instance in an election, with all that it said. */
export class Candidate<E extends AnyEngine = Engine> {
  readonly states: LeadershipState[] = [];
  readonly events: LeaderEvent[] = [];
  readonly problems: string[] = [];
  readonly leader: LeaderService;

  constructor(
    readonly engine: E,
    readonly id: string,
    settings: Partial<ElectionSettings> = {},
    listener: Partial<ElectionListener> = {},
  ) {
    this.leader = new LeaderService(
      (changed, report) =>
        new Election(
          engine.manager,
          { id, url: `http://${id}`, metadata: { zone: 'x' } },
          { ...ELECTION, ...settings },
          { changed, report, problem: (message) => this.problems.push(message), ...listener },
        ),
    );
    this.leader.state$.subscribe((state) => this.states.push(state));
    this.leader.events$.subscribe((event) => this.events.push(event));
  }

  /** The roles that it had, without those changes that kept the role. */
  get roles(): string[] {
    return this.states.map(({ role }) => role).filter((role, index, roles) => role !== roles[index - 1]);
  }

  /** In the manner of a Nest application: connected, then started. */
  async start(): Promise<void> {
    await this.engine.manager.connect();
    this.leader.start();
  }

  /** From now on nothing reaches the store, and nothing of it arrives here. */
  cutOff(): void {
    this.engine.driver.unreachable = true;
    this.engine.driver.deaf = true;
  }

  reconnect(): void {
    this.engine.driver.unreachable = false;
    this.engine.driver.deaf = false;
  }

  eventsOf<Type extends LeaderEvent['type']>(type: Type): Extract<LeaderEvent, { type: Type }>[] {
    return this.events.filter((event) => event.type === type) as Extract<LeaderEvent, { type: Type }>[];
  }
}

export const ELECTION: ElectionSettings = {
  name: 'default',
  storeKey: 'test:e:default',
  membersScope: 'test:m:default',
  leaseDuration: 15_000,
  renewDeadline: 10_000,
  retryPeriod: 2000,
  autoCampaign: true,
  releaseOnShutdown: true,
  priority: 0,
  grace: 5000,
};
