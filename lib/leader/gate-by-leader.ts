import type { MonoTypeOperatorFunction } from 'rxjs';
import type { LeaderService } from './leader.service.js';

/**
 * Lets a source emit while this instance leads:
 *
 * 1. Each term subscribes to the source at its start, and unsubscribes at its end.
 * 2. A value that comes after the end of a term is dropped, even where a blocked event loop delayed that end.
 * 3. The result completes at shutdown, not with the source.
 */
export function gateByLeader<T>(leader: Pick<LeaderService, 'whileLeader'>): MonoTypeOperatorFunction<T> {
  return (source) => leader.whileLeader(() => source);
}
