import type { Clock, Random } from '../../../core/clock.js';
import type { Duration } from '../../../core/duration.js';
import { OptionsCheck } from '../../../core/options-check.js';
import { checkConnection } from '../checks/connection-checks.js';
import type { AckRule } from '../failover/replica-acks.js';
import { AccessSource } from './access.js';
import { type Opener, opener, type RedisConnectionOptions, serverOptions, type Timeouts, timeouts } from './clients.js';
import { Sockets } from './sockets.js';

/** Options that protect grants when a master fails and a replica takes over. */
export interface FailoverOptions {
  /** Acknowledgements by replicas. */
  readonly replicas?: {
    /**
     * The number of replicas that must have a grant or a renewal before it counts. `'majority'` (of the master and its
     * replicas) and `'all'` count the attached replicas, and at least one.
     *
     * @defaultValue `0`
     */
    readonly ack?: number | 'majority' | 'all';
    /**
     * The time that the replicas have to acknowledge; less than `commandTimeout`.
     *
     * @defaultValue `'500ms'`, or half of `commandTimeout` where that is less
     */
    readonly timeout?: Duration;
  };
  /**
   * The time for which a new master grants nothing. Leases with a longer TTL or lease duration are refused. A first
   * start and a restart of Redis count as a new master. On a cluster each master has its own quarantine. Without this
   * option a new master grants at once.
   */
  readonly failoverQuarantine?: Duration;
}

/** The checked options of one driver, and the parts that all its connections share. */
export interface ConnectionPlan extends Timeouts {
  readonly clock: Clock;
  readonly random: Random;
  readonly open: Opener;
  readonly sockets: Sockets;
  /** A login that was refused may be accepted the next time, because a function gives it. */
  readonly loginRotates: boolean;
  readonly acks: AckRule | undefined;
  /** Milliseconds. */
  readonly quarantine: number | undefined;
}

/** @throws LockConfigError with each option that is wrong */
export function planConnection(
  options: RedisConnectionOptions & FailoverOptions,
  clock: Clock,
  random: Random,
): ConnectionPlan {
  const check = new OptionsCheck('RedisDriver');
  const { replicas, failoverQuarantine, ...connection } = isRecord(options) ? options : {};
  const checked = checkConnection(isRecord(options) ? connection : options, check);
  const known = (checked ?? { host: 'localhost' }) as RedisConnectionOptions;
  const limits = timeouts(known);
  const { commandTimeout } = limits;
  const { ack, timeout } = check.object<NonNullable<FailoverOptions['replicas']>>(replicas, 'replicas', [
    'ack',
    'timeout',
  ]);
  const ackTimeout = check.duration(timeout, 'replicas.timeout', Math.min(500, commandTimeout / 2));
  if (ack !== undefined && ack !== 'majority' && ack !== 'all' && !(Number.isSafeInteger(ack) && ack >= 0)) {
    check.problem("replicas.ack: expected a number of replicas, 'majority' or 'all'.");
  }
  if (timeout !== undefined && !ack)
    check.problem('replicas.timeout: has no effect without replicas.ack. Set replicas.ack.');
  if (ack && ackTimeout >= commandTimeout) {
    check.problem(
      `replicas.timeout: ${ackTimeout} ms is not less than commandTimeout (${commandTimeout} ms). Lower it, or raise commandTimeout.`,
    );
  }
  const quarantine =
    failoverQuarantine === undefined ? undefined : check.duration(failoverQuarantine, 'failoverQuarantine', 0);
  check.done();
  const access = new AccessSource(serverOptions(known), limits.connectTimeout, clock);
  const sockets = new Sockets(access, clock);
  return {
    ...limits,
    clock,
    random,
    open: opener(known, sockets),
    sockets,
    loginRotates: access.rotates,
    acks: ack ? { ack, timeout: ackTimeout } : undefined,
    quarantine,
  };
}

/** An object whose own properties are its options. A client is none: it keeps its options elsewhere. */
function isRecord(options: unknown): options is RedisConnectionOptions & FailoverOptions {
  return typeof options === 'object' && options !== null && !Array.isArray(options) && !('duplicate' in options);
}
