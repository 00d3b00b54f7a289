import { filter, firstValueFrom } from 'rxjs';
import type { LeaderService } from './leader.service.js';

/** The double of a unit test may have no state. */
type MaybeObservable = Partial<Pick<LeaderService, 'state' | 'state$'>>;

/** Whether the instance knows who leads, itself or another, or will not learn it any more. */
export function knowsLeader({ state }: MaybeObservable): boolean {
  return state === undefined || state.leader !== null || state.role === 'stopped';
}

/** Resolves when it does. */
export async function knownLeader({ state$ }: MaybeObservable): Promise<void> {
  if (!state$) return;
  await firstValueFrom(state$.pipe(filter((state) => knowsLeader({ state }))), { defaultValue: undefined });
}
