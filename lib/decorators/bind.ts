import type { LeaderService } from '../leader/leader.service.js';
import type { LockService } from '../locks/lock.service.js';
import { getFireServiceToken, getLeaderToken, getLockServiceToken } from './injection.js';
import type { TickGate } from './once-per-tick.js';
import { bindSlots } from './wrap-method.js';

/** What the decorated methods of an instance need; a test double may implement just what is called. */
export interface BoundServices {
  readonly locks?: Pick<LockService, 'withLock'>;
  readonly leader?: Pick<LeaderService, 'isLeader' | 'assertLeader' | 'runAsLeader'>;
  /** For decorators that name an election. */
  readonly leaders?: Readonly<Record<string, Pick<LeaderService, 'isLeader' | 'assertLeader' | 'runAsLeader'>>>;
  /** The named registration that the decorators ask for. Default: the one without a name. */
  readonly registration?: string;
}

/** For unit tests: gives an instance that was made with `new` what Nest would have injected. */
export function bindDistLock<T extends object>(instance: T, services: BoundServices): T {
  const { registration, locks, leader, leaders = {} } = services;
  const byToken = new Map<string, unknown>([
    [getLockServiceToken(registration), locks],
    [getLeaderToken(undefined, registration), leader],
    ...Object.entries(leaders).map(([election, service]): [string, unknown] => [
      getLeaderToken(election, registration),
      service,
    ]),
    // A call by a test is no tick: the method runs.
    [getFireServiceToken(registration), { tick: async (...[, , , work]: Parameters<TickGate['tick']>) => work() }],
  ]);
  bindSlots(instance, (token) => byToken.get(token));
  return instance;
}
