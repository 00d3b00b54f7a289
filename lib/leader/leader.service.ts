import {
  catchError,
  distinctUntilChanged,
  EMPTY,
  from,
  map,
  type Observable,
  type ObservableInput,
  switchMap,
  takeWhile,
  throwError,
} from 'rxjs';
import { OptionsCheck } from '../core/options-check.js';
import type { Election } from './election.js';
import type { LeaderEvent, LeaderEventSink } from './leader-events.js';
import { LeadershipStreams } from './leadership-streams.js';
import type { LeadershipState, Member, Term } from './leadership.js';
import type { LeaderCallbacks } from './term-callbacks.js';

/** Creates the election of a service. The election publishes its states and reports its events through the arguments. */
export type LeaderServiceSource = (publish: (state: LeadershipState) => void, report: LeaderEventSink) => Election;

/**
 * One election as an application sees it. Every read compares with the clock (rule S2 of docs/internals/safety.md). The
 * observables deliver every change, in order, and never replay a leadership that is over (S9).
 */
export class LeaderService {
  /** Every change. A subscriber gets the latest state first. Completes at the end of the shutdown. */
  readonly state$: Observable<LeadershipState>;
  /** True while this instance leads. A subscriber gets the latest value first. */
  readonly isLeader$: Observable<boolean>;
  /** The leader, as far as this instance knows; null while it knows none. A subscriber gets the latest value first. */
  readonly leader$: Observable<Member | null>;
  /**
   * The members of the election, in the order in which they joined. A subscriber gets the latest list first. The store
   * is asked while somebody is subscribed. While the store does not answer, nothing is emitted.
   */
  readonly members$: Observable<Member[]>;
  /** Events for logs and metrics. Nothing is replayed. */
  readonly events$: Observable<LeaderEvent>;

  readonly #election: Election;
  readonly #streams: LeadershipStreams;
  #stopping: Promise<void> | undefined;

  /** @internal */
  constructor(create: LeaderServiceSource) {
    this.#election = create(
      (state) => this.#streams.publish(state),
      (event) => this.report(event),
    );
    this.#streams = new LeadershipStreams(this.#election);
    this.state$ = this.#streams.state$;
    this.isLeader$ = this.#streams.isLeader$;
    this.leader$ = this.#streams.leader$;
    this.members$ = this.#streams.members$;
    this.events$ = this.#streams.events$;
  }

  /** This instance, with its role at this moment. */
  get self(): Member {
    return this.#election.self;
  }

  /** The state at this moment, computed at the read (S2). */
  get state(): LeadershipState {
    return this.#election.state;
  }

  /** True while this instance leads. False from the instant at which the renew deadline passes (S2). */
  isLeader(): boolean {
    return this.state.role === 'leader';
  }

  /**
   * The term of this instance, compared with the clock (S2).
   *
   * @throws NotLeaderError when this instance does not lead
   */
  assertLeader(): Term {
    const { term } = this.state;
    if (!term) throw this.#election.notLeader();
    return term;
  }

  /**
   * The members of the election, in the order in which they joined, this instance among them. An instance that died is
   * listed for three quarters of `leaseDuration` at most. With a driver that has no fact store, the list is this instance
   * and the leader.
   *
   * @throws DriverUnavailableError when the store does not answer
   */
  members(): Promise<Member[]> {
    return this.#election.members();
  }

  /**
   * The leader that the store names now, which may be newer than `state.leader`. Null where nobody leads, and where an
   * earlier process with the id of this instance holds the lease.
   *
   * @throws DriverUnavailableError when the store does not answer
   */
  leader(): Promise<Member | null> {
    return this.#election.leader();
  }

  /**
   * Takes part in the election: needed where `autoCampaign` is off. Ends the rest that follows a resignation or several
   * short terms. Resolves at once. `isLeader$` emits when this instance leads. Has no effect with `observeOnly`.
   */
  async campaign(): Promise<void> {
    this.#election.campaign();
  }

  /**
   * Ends the term of this instance and lets another one lead: the instance with the id `to`, or else the candidate with
   * the highest priority, and among equals the one that has waited longest.
   *
   * - Resolves when the lease was handed over, after the leader work has ended or the grace period is over. Inside leader
   *   work it resolves at once, because the hand-over waits for that work.
   * - With `autoCampaign` this instance takes part again after a `retryPeriod`. Otherwise it waits for `campaign()`.
   * - Without `to`, on an instance that does not lead, it ends the campaign where `autoCampaign` is off.
   * - With `to`, a rejection leaves the term as it was. The named instance may die during the hand-over: then another one
   *   leads.
   *
   * @throws MemberNotFoundError when `to` is no member that campaigns
   * @throws NotLeaderError when `to` is given and this instance does not lead
   * @throws DriverUnavailableError when `to` is given and the store does not answer with the members
   * @throws LockConfigError when `to` is not a string, or the driver has no queue or no fact store
   */
  async resign(options: { readonly to?: string } = {}): Promise<void> {
    const check = new OptionsCheck('resign()');
    const { to } = check.object(options, '', ['to']);
    check.ofType(to, 'to', 'string');
    check.done();
    await this.#election.resign(to);
  }

  /**
   * While this instance leads, subscribes to the result of `project`: once in each term, until the term ends. Emits no
   * value and no error after the end of a term, also where the event loop was blocked past it (S2). Completes at the end
   * of the shutdown. An error of `project`, or of its result, during a term ends the observable.
   */
  whileLeader<T>(project: (term: Term) => ObservableInput<T>): Observable<T> {
    const whileIn = (term: Term): Observable<T> => {
      const lasts = (): boolean => this.state.term === term;
      // The state is delivered late where the event loop was blocked: the term may be over.
      if (!lasts()) return EMPTY;
      return from(project(term)).pipe(
        takeWhile(lasts),
        catchError((error: unknown) => (lasts() ? throwError(() => error) : EMPTY)),
      );
    };
    return this.state$.pipe(
      map(({ term }) => term),
      distinctUntilChanged(),
      switchMap((term) => (term ? whileIn(term) : EMPTY)),
    );
  }

  /**
   * Runs `work` as leader work: the hand-over waits for its promise. Resolves to undefined, without a call of `work`,
   * where this instance does not lead. Rejects with the error of `work`.
   */
  runAsLeader<T>(work: (term: Term) => Promise<T>): Promise<T | undefined> {
    const { term } = this.state;
    return term ? this.#election.track(() => work(term)) : Promise.resolve(undefined);
  }

  /** @internal */
  get callbacks(): LeaderCallbacks {
    return this.#election.callbacks;
  }

  /** @internal */
  report(event: LeaderEvent): void {
    this.#streams.report(event);
  }

  /** @internal */
  start(): void {
    this.#election.start();
  }

  /** @internal */
  stop(reason = 'This instance left the election.'): Promise<void> {
    this.#stopping ??= this.#stop(reason);
    return this.#election.isLeaderWork ? Promise.resolve() : this.#stopping;
  }

  async #stop(reason: string): Promise<void> {
    await this.#election.stop(reason);
    this.#streams.complete();
  }
}
