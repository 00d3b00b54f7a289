import {
  BehaviorSubject,
  defer,
  distinctUntilChanged,
  endWith,
  ignoreElements,
  map,
  Observable,
  ReplaySubject,
  share,
  Subject,
  takeUntil,
} from 'rxjs';
import type { Election } from './election.js';
import type { LeaderEvent } from './leader-events.js';
import { isSameMember, isSameState, type LeadershipState, type Member } from './leadership.js';

/**
 * The observables of one election (S9):
 *
 * 1. Every state is delivered, in order, to every subscriber. A state that a subscriber causes comes after the current
 *    one has reached everybody.
 * 2. A new subscriber gets the latest state first, but never a leadership that is over.
 */
export class LeadershipStreams {
  readonly state$: Observable<LeadershipState>;
  readonly isLeader$: Observable<boolean>;
  readonly leader$: Observable<Member | null>;
  readonly members$: Observable<Member[]>;
  readonly events$: Observable<LeaderEvent>;
  readonly #election: Election;
  readonly #states: BehaviorSubject<LeadershipState>;
  readonly #events = new Subject<LeaderEvent>();
  readonly #unpublished: LeadershipState[] = [];
  #publishing = false;

  constructor(election: Election) {
    this.#election = election;
    this.#states = new BehaviorSubject(election.state);
    this.events$ = this.#events.asObservable();
    this.state$ = defer(() =>
      this.#states.pipe(
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
    const ended$ = this.#states.pipe(ignoreElements(), endWith(true));
    this.members$ = membersOf(election).pipe(takeUntil(ended$), share({ connector: () => new ReplaySubject(1) }));
  }

  publish(state: LeadershipState): void {
    this.#unpublished.push(state);
    if (this.#publishing) return;
    this.#publishing = true;
    for (let next = this.#unpublished.shift(); next; next = this.#unpublished.shift()) this.#states.next(next);
    this.#publishing = false;
  }

  report(event: LeaderEvent): void {
    this.#events.next(event);
  }

  complete(): void {
    this.#states.complete();
    this.#events.complete();
  }

  #unlessOver(state: LeadershipState): LeadershipState {
    if (state.role !== 'leader' || state.term === this.#election.state.term) return state;
    return { ...state, role: 'stepping-down', leader: null, term: null };
  }
}

/** The members of an election. The store is asked while somebody is subscribed. */
function membersOf(election: Election): Observable<Member[]> {
  const members$ = new Observable<Member[]>((subscriber) =>
    election.watchMembers(async () => {
      const members = await election.members().catch(() => undefined);
      if (members) subscriber.next(members);
    }),
  );
  return members$.pipe(distinctUntilChanged((a, b) => JSON.stringify(a) === JSON.stringify(b)));
}
