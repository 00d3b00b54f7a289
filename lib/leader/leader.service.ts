import {
  BehaviorSubject,
  catchError,
  defer,
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
import type { Election } from './election.js';
import type { LeadershipState, Member, Term } from './leadership.js';

/**
 * One election as an application sees it. Everything that is read is compared with the clock at the read; the
 * observables deliver the news, in order and without a gap, and never replay a leadership that is over.
 */
export class LeaderService {
  /** Replays the latest state; completes when the application has shut down. */
  readonly state$: Observable<LeadershipState>;
  readonly isLeader$: Observable<boolean>;
  readonly leader$: Observable<Member | null>;

  readonly #election: Election;
  readonly #subject: BehaviorSubject<LeadershipState>;
  readonly #unpublished: LeadershipState[] = [];
  #publishing = false;

  constructor(create: (publish: (state: LeadershipState) => void) => Election) {
    this.#election = create((state) => this.#publish(state));
    this.#subject = new BehaviorSubject(this.#election.state);
    this.state$ = defer(() =>
      this.#subject.pipe(
        map((state, index) => (index === 0 ? this.#unlessOver(state) : state)),
        distinctUntilChanged((a, b) => a.role === b.role && a.term === b.term && a.leader?.id === b.leader?.id),
      ),
    );
    this.isLeader$ = this.state$.pipe(
      map(({ role }) => role === 'leader'),
      distinctUntilChanged(),
    );
    this.leader$ = this.state$.pipe(
      map(({ leader }) => leader),
      distinctUntilChanged((a, b) => a?.id === b?.id),
    );
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

  /** Takes part in the election, where `autoCampaign` is off or after `resign()`. */
  async campaign(): Promise<void> {
    this.#election.campaign();
  }

  /**
   * Ends this instance's term and lets another lead. Resolves when leader work has ended, or the grace period has, and
   * the lease is free; called inside leader work, which the hand-over waits for, it resolves at once. With
   * `autoCampaign` the instance takes part again after a `retryPeriod`. Does nothing on an instance that does not lead.
   */
  resign(): Promise<void> {
    return this.#election.resign();
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

  start(): void {
    this.#election.start();
  }

  async stop(): Promise<void> {
    await this.#election.stop();
    this.#subject.complete();
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
