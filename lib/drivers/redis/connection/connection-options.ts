import type { Duration } from '../../../core/duration.js';
import { OptionsCheck } from '../../../core/options-check.js';
import { checkConnection } from '../checks/connection-checks.js';
import type { AckRule } from '../failover/replica-acks.js';
import { AccessSource } from './access.js';
import { type Opener, opener, type RedisConnectionOptions, serverOptions, type Timeouts, timeouts } from './clients.js';
import { Sockets } from './sockets.js';

/** What a grant is worth when a master fails and a replica takes over. */
export interface FailoverOptions {
  readonly replicas?: {
    /**
     * How many replicas must have a grant or a renewal before it counts. 'majority' (of the master and its replicas) and
     * 'all' mean those that are attached, and one at least. Default 0: none.
     */
    readonly ack?: number | 'majority' | 'all';
    /** How long to wait for them; less than `commandTimeout`. Default 500 ms. */
    readonly timeout?: Duration;
  };
  /**
   * For so long a new master grants nothing; at least the longest TTL and lease duration, longer ones are refused. A
   * first start and a restart of Redis count too; on a cluster each master has its own. Default: a new master grants at
   * once.
   */
  readonly failoverQuarantine?: Duration;
}

export interface ConnectionPlan extends Timeouts {
  readonly open: Opener;
  readonly sockets: Sockets;
  readonly acks: AckRule | undefined;
  /** Milliseconds. */
  readonly quarantine: number | undefined;
}

/** @throws LockConfigError with all that is wrong */
export function planConnection(options: RedisConnectionOptions & FailoverOptions): ConnectionPlan {
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
  const sockets = new Sockets(new AccessSource(serverOptions(known), limits.connectTimeout));
  return {
    ...limits,
    open: opener(known, sockets),
    sockets,
    acks: ack ? { ack, timeout: ackTimeout } : undefined,
    quarantine,
  };
}

/** An object whose own properties are its options: not a client, which keeps them elsewhere. */
function isRecord(options: unknown): options is RedisConnectionOptions & FailoverOptions {
  return typeof options === 'object' && options !== null && !Array.isArray(options) && !('duplicate' in options);
}
