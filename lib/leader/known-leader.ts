import { filter, firstValueFrom } from 'rxjs';
import type { LeaderService } from './leader.service.js';

/** Resolves when the instance knows of a leader, itself or another, or is shutting down. */
export async function knownLeader(leader: Partial<Pick<LeaderService, 'state$'>>): Promise<void> {
  // The double of a unit test may have no state.
  if (!leader.state$) return;
  await firstValueFrom(leader.state$.pipe(filter((state) => state.leader !== null)), { defaultValue: undefined });
}
