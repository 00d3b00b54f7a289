import { distinctUntilChanged, Observable } from 'rxjs';
import type { Election } from './election.js';
import type { Member } from './leadership.js';

/** The members of an election; the store is asked while somebody listens. */
export function membersOf(election: Election): Observable<Member[]> {
  const members$ = new Observable<Member[]>((subscriber) =>
    election.watchMembers(async () => {
      const members = await election.members().catch(() => undefined);
      if (members) subscriber.next(members);
    }),
  );
  return members$.pipe(distinctUntilChanged((a, b) => JSON.stringify(a) === JSON.stringify(b)));
}
