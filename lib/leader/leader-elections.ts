import { LockConfigError, LockServiceClosedError } from '../core/errors.js';
import { OptionsCheck } from '../core/options-check.js';
import { type ElectionDefaults, type ElectionOptions, resolveElection } from './election-options.js';
import type { ElectionSettings } from './election-settings.js';
import { LeaderService, type LeaderServiceSource } from './leader.service.js';

/** An election that was created at run time, by `LeaderElections.create()`. */
export class LeaderElection extends LeaderService {
  /**
   * Leaves the election for good. A term of this instance ends at once, and the instance is no member any more.
   *
   * Resolves when the lease is free, after leader work has ended or the grace period is over. Inside leader work it
   * resolves at once.
   *
   * @param reason the reason for the end of a term, for logs and people; default: `This instance left the election.`
   */
  override stop(reason?: string): Promise<void> {
    return super.stop(reason);
  }
}

/** Creates elections whose names are known at run time only, such as one for each tenant. */
export class LeaderElections {
  readonly #elections: ElectionSet;
  readonly #defaults: ElectionDefaults;

  /** @internal */
  constructor(elections: ElectionSet, defaults: ElectionDefaults) {
    this.#elections = elections;
    this.#defaults = defaults;
  }

  /**
   * Takes part in an election until `stop()` or the shutdown. The election starts at once, or with the application where
   * that has not started.
   *
   * @throws LockConfigError when an option is wrong, or an election of this name is running
   * @throws LockServiceClosedError when the application is shutting down
   */
  create(options: ElectionOptions & { name: string }): LeaderElection {
    const check = new OptionsCheck('LeaderElections.create()');
    const settings = resolveElection(check, options, '', this.#defaults);
    if (options?.name === undefined) check.problem("name: give the election a name, such as 'tenant-5'.");
    check.done();
    return this.#elections.add(settings, LeaderElection);
  }
}

/** The elections of a registration that run, or will run once it has started. */
export class ElectionSet {
  readonly #running = new Map<string, LeaderService>();
  readonly #sourceOf: (settings: ElectionSettings) => LeaderServiceSource;
  #isStarted = false;
  #isStopped = false;

  constructor(sourceOf: (settings: ElectionSettings) => LeaderServiceSource) {
    this.#sourceOf = sourceOf;
  }

  get(name: string): LeaderService {
    return this.#running.get(name)!;
  }

  add<Service extends LeaderService>(
    settings: ElectionSettings,
    type: new (source: LeaderServiceSource) => Service,
  ): Service {
    const { name: election } = settings;
    if (this.#isStopped) throw new LockServiceClosedError();
    if (this.#running.has(election)) {
      throw new LockConfigError(`Election "${election}" is running already. Use it, or stop() it first.`);
    }
    const leader = new type(this.#sourceOf(settings));
    this.#running.set(election, leader);
    leader.state$.subscribe({ complete: () => this.#running.delete(election) });
    if (this.#isStarted) leader.start();
    return leader;
  }

  start(): void {
    this.#isStarted = true;
    for (const leader of this.#running.values()) leader.start();
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await Promise.all([...this.#running.values()].map((leader) => leader.stop('The application is shutting down.')));
  }
}
