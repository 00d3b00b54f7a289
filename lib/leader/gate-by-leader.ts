import type { MonoTypeOperatorFunction } from 'rxjs';
import type { LeaderService } from './leader.service.js';

/**
 * Lets a source emit while this instance leads. The source is subscribed to at the beginning of each term, anew, and
 * unsubscribed at its end; what it emits after the end of a term is dropped, also where the event loop was blocked past
 * it. The result does not complete with the source, which the next term subscribes to again, but at shutdown.
 */
export function gateByLeader<T>(leader: Pick<LeaderService, 'whileLeader'>): MonoTypeOperatorFunction<T> {
  return (source) => leader.whileLeader(() => source);
}
