import type { LeaderService } from '../leader/leader.service.js';
import { fireToken, leaderToken, lockServiceToken } from '../nest/injection.js';
import type { FireService } from '../nest/fire.service.js';
import type { LockService } from '../nest/lock.service.js';
import { bindSlots } from './wrap-method.js';

/** What the decorated methods of an instance need; a test double may implement just what is called. */
export interface BoundServices {
  readonly locks?: Pick<LockService, 'withLock'>;
  readonly leader?: Pick<LeaderService, 'isLeader' | 'assertLeader' | 'runAsLeader'>;
  /** For decorators that name an election. */
  readonly leaders?: Readonly<Record<string, Pick<LeaderService, 'isLeader' | 'assertLeader' | 'runAsLeader'>>>;
  /** The named registration that the decorators ask for. Default: the one without a name. */
  readonly name?: string;
}

/** For unit tests: gives an instance that was made with `new` what Nest would have injected. */
export function bindDistLock<T extends object>(instance: T, services: BoundServices): T {
  const { name, locks, leader, leaders = {} } = services;
  const byToken = new Map<string, unknown>([
    [lockServiceToken(name), locks],
    [leaderToken(name), leader],
    ...Object.entries(leaders).map(([election, service]): [string, unknown] => [leaderToken(name, election), service]),
    // A call by a test is no tick: the method runs.
    [fireToken(name), { tick: async (...[, , , work]: Parameters<FireService['tick']>) => work() }],
  ]);
  bindSlots(instance, (token) => byToken.get(token));
  return instance;
}
