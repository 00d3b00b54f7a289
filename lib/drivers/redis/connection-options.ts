import type { Cluster, Redis } from 'ioredis';
import type { Duration } from '../../core/duration.js';
import { OptionsCheck } from '../../core/options-check.js';
import { opener, type RedisConnectionOptions, timeouts } from './clients.js';
import type { AckRule } from './replica-acks.js';

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

export interface ConnectionPlan {
  /** A new client, not yet connected. */
  readonly open: () => Redis | Cluster;
  readonly acks: AckRule | undefined;
  /** Milliseconds. */
  readonly quarantine: number | undefined;
  readonly commandTimeout: number;
  readonly socketTimeout: number;
}

/** @throws LockConfigError with all that is wrong */
export function planConnection(options: RedisConnectionOptions & FailoverOptions): ConnectionPlan {
  const { replicas, failoverQuarantine, ...connection } = options;
  const check = new OptionsCheck('RedisDriver');
  const open = opener(connection, check);
  const { commandTimeout, socketTimeout } = timeouts(connection);
  const { ack, timeout } = check.object<NonNullable<FailoverOptions['replicas']>>(replicas, 'replicas', [
    'ack',
    'timeout',
  ]);
  const ackTimeout = check.duration(timeout, 'replicas.timeout', Math.min(500, commandTimeout / 2));
  if (ack !== undefined && ack !== 'majority' && ack !== 'all' && !(Number.isSafeInteger(ack) && ack >= 0)) {
    check.problem("replicas.ack: expected a number of replicas, 'majority' or 'all'.");
  }
  if (timeout !== undefined && !ack) check.problem('replicas.timeout: without effect; set replicas.ack.');
  if (ack && ackTimeout >= commandTimeout) {
    check.problem(`replicas.timeout: ${ackTimeout} ms is not less than commandTimeout (${commandTimeout} ms).`);
  }
  const quarantine =
    failoverQuarantine === undefined ? undefined : check.duration(failoverQuarantine, 'failoverQuarantine', 0);
  check.done();
  return {
    open,
    acks: ack ? { ack, timeout: ackTimeout } : undefined,
    quarantine,
    commandTimeout,
    socketTimeout,
  };
}
