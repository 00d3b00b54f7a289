import {
  BehaviorSubject,
  catchError,
  defer,
  distinctUntilChanged,
  EMPTY,
  endWith,
  from,
  ignoreElements,
  map,
  Observable,
  type ObservableInput,
  ReplaySubject,
  share,
  Subject,
  switchMap,
  takeUntil,
  takeWhile,
  throwError,
} from 'rxjs';
import { OptionsCheck } from '../core/options-check.js';
import type { Election } from './election.js';
import type { LeaderEvent, LeaderEventSink } from './leader-events.js';
import { isSameMember, isSameState, type LeadershipState, type Member, type Term } from './leadership.js';
import { membersOf } from './members-stream.js';
import type { LeaderCallbacks } from './term-callbacks.js';

/** Makes the election behind a service, whose news go to `publish` and `report`. */
export type LeaderServiceSource = (publish: (state: LeadershipState) => void, report: LeaderEventSink) => Election;

/**
 * One election as an application sees it. Everything that is read is compared with the clock at the read; the
 * observables deliver the news, in order and without a gap, and never replay a leadership that is over.
 */
export class LeaderService {
  /** Replays the latest state; completes when the application has shut down. */
  readonly state$: Observable<LeadershipState>;
  readonly isLeader$: Observable<boolean>;
  readonly leader$: Observable<Member | null>;
  /**
   * The members of the election in the order in which they joined; replays the latest. The store is asked while somebody
   * listens, and nothing is emitted while it cannot be reached.
   */
  readonly members$: Observable<Member[]>;
  /** What happens, for logs and metrics. */
  readonly events$: Observable<LeaderEvent>;

  readonly #election: Election;
  readonly #subject: BehaviorSubject<LeadershipState>;
  readonly #events = new Subject<LeaderEvent>();
  readonly #unpublished: LeadershipState[] = [];
  #publishing = false;
  #stopping: Promise<void> | undefined;

  /** @internal */
  constructor(create: LeaderServiceSource) {
    this.#election = create(
      (state) => this.#publish(state),
      (event) => this.report(event),
    );
    this.events$ = this.#events.asObservable();
    this.#subject = new BehaviorSubject(this.#election.state);
    this.state$ = defer(() =>
      this.#subject.pipe(
        map((state, index) => (index === 0 ? this.#unlessOver(state) : state)),
        distinctUntilChanged(isSameState),
      ),
    );
    this.isLeader$ = this.state$.pipe(
      map(({ role }) => role === 'leader'),
      distinctUntilChanged(),
    );
    this.leader$ = this.state$.pipe(
      map(({ leader }) => leader),
      distinctUntilChanged(isSameMember),
    );
    const ended$ = this.#subject.pipe(ignoreElements(), endWith(true));
    this.members$ = membersOf(this.#election).pipe(takeUntil(ended$), share({ connector: () => new ReplaySubject(1) }));
  }

  /** This instance, with its role at this moment. */
  get self(): Member {
    return this.#election.self;
  }

  get state(): LeadershipState {
    return this.#election.state;
  }

  /** Whether this instance leads at this moment. False from the instant at which the renew deadline passes. */
  isLeader(): boolean {
    return this.state.role === 'leader';
  }

  /** The term of this instance. @throws NotLeaderError when it does not lead */
  assertLeader(): Term {
    const { term } = this.state;
    if (!term) throw this.#election.notLeader();
    return term;
  }

  /**
   * The members of the election in the order in which they joined, this instance among them. One that dies is listed
   * for three quarters of `leaseDuration` at most. With a driver that has no fact store: this instance and the leader.
   *
   * @throws DriverUnavailableError when the store cannot be asked
   */
  members(): Promise<Member[]> {
    return this.#election.members();
  }

  /**
   * The leader as the store knows it, which may be newer than `state.leader`. Null, too, where an earlier process with
   * the id of this instance holds the lease.
   *
   * @throws DriverUnavailableError when the store cannot be asked
   */
  leader(): Promise<Member | null> {
    return this.#election.leader();
  }

  /** Takes part in the election, where `autoCampaign` is off or after `resign()`. Also ends a rest after one or after flapping. */
  async campaign(): Promise<void> {
    this.#election.campaign();
  }

  /**
   * Ends this instance's term and lets another lead: `to`, or else the candidate of the highest priority, or else the
   * one that has waited longest. Resolves when leader work has ended, or the grace period has, and the lease is free;
   * called inside leader work, which the hand-over waits for, it resolves at once. With `autoCampaign` the instance
   * takes part again after a `retryPeriod`, otherwise not before `campaign()`. Without `to` an instance that does not
   * lead is not affected, except that it stops to campaign where `autoCampaign` is off.
   *
   * With `to` the term goes on when this rejects. That instance may still die at this moment: then another one leads.
   *
   * @throws MemberNotFoundError when `to` is no member that campaigns
   * @throws NotLeaderError when `to` is given and this instance does not lead
   * @throws DriverUnavailableError when `to` is given and the store cannot be asked for the members
   * @throws LockConfigError when `to` is given and the driver cannot pass a lease to one of those who wait, or is no id
   */
  async resign(options: { readonly to?: string } = {}): Promise<void> {
    const check = new OptionsCheck('resign()');
    const { to } = check.object(options, '', ['to']);
    check.ofType(to, 'to', 'string');
    check.done();
    await this.#election.resign(to);
  }

  /**
   * Subscribes to what `project` returns while this instance leads: anew in each term, and unsubscribed at its end.
   * Emits no value and no error after the end of a term, also where the event loop was blocked past it. Completes at
   * shutdown.
   */
  whileLeader<T>(project: (term: Term) => ObservableInput<T>): Observable<T> {
    const whileIn = (term: Term): Observable<T> => {
      const lasts = (): boolean => this.state.term === term;
      // The news may be late: the term that it tells of may be over.
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

  /** Runs `work` if this instance leads, and resolves to undefined otherwise. A hand-over waits for it to end. */
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
    this.#events.next(event);
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
    this.#subject.complete();
    this.#events.complete();
  }

  #unlessOver(state: LeadershipState): LeadershipState {
    if (state.role !== 'leader' || state.term === this.state.term) return state;
    return { ...state, role: 'stepping-down', leader: null, term: null };
  }

  /** A subscriber may cause the next change: it is published when this one has reached everybody. */
  #publish(state: LeadershipState): void {
    this.#unpublished.push(state);
    if (this.#publishing) return;
    this.#publishing = true;
    for (let next = this.#unpublished.shift(); next; next = this.#unpublished.shift()) this.#subject.next(next);
    this.#publishing = false;
  }
}
