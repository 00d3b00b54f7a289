import type { LeaderService } from '../leader/leader.service.js';
import type { LockService } from '../locks/lock.service.js';
import { getFireServiceToken, getLeaderToken, getLockServiceToken } from './injection.js';
import type { TickGate } from './once-per-tick.js';
import { bindSlots } from './wrap-method.js';

/** The services for `bindDistLock()`. A test double implements only the members that are called. */
export interface BoundServices {
  /** The service behind `@WithLock()`. */
  readonly locks?: Pick<LockService, 'withLock'>;
  /** The service behind `@LeaderOnly()`, for the election named `default`. */
  readonly leader?: Pick<LeaderService, 'isLeader' | 'assertLeader' | 'runAsLeader'>;
  /** The services behind `@LeaderOnly()` for other elections, by the name of the election. */
  readonly leaders?: Readonly<Record<string, Pick<LeaderService, 'isLeader' | 'assertLeader' | 'runAsLeader'>>>;
  /**
   * The registration that the decorators name.
   *
   * @defaultValue the registration without a name
   */
  readonly registration?: string;
}

/**
 * For unit tests: gives an object that was made with `new` the services that Nest would have injected. A method under
 * `@OncePerTick()` then runs at every call.
 *
 * Not covered: a service that the object has already. It stays.
 *
 * @returns the same object
 */
export function bindDistLock<T extends object>(instance: T, services: BoundServices): T {
  const { registration, locks, leader, leaders = {} } = services;
  const byToken = new Map<string, unknown>([
    [getLockServiceToken(registration), locks],
    [getLeaderToken(undefined, registration), leader],
    ...Object.entries(leaders).map(([election, service]): [string, unknown] => [
      getLeaderToken(election, registration),
      service,
    ]),
    // The call of a test is no tick, so there is no fire to claim.
    [getFireServiceToken(registration), { tick: async (...[, , , work]: Parameters<TickGate['tick']>) => work() }],
  ]);
  bindSlots(instance, (token) => byToken.get(token));
  return instance;
}
