import { LeaseGoneError } from '../client/call-errors.js';
import type { EtcdConnection } from '../client/connection.js';
import type { Compare, KeyValue, RequestOp } from '../client/messages.js';
import { inOrder } from '../names.js';
import type { QueuedClaim } from './queued-claim.js';
import { isLasting, readClaim } from './records.js';

/**
 * Gives the lock to a waiting instance, which thereby comes before the others:
 *
 * 1. The key of the holder gets the value and the lease of the waiter. The own key of the waiter is deleted, by which the
 *    waiter hears of it.
 * 2. Only the driver of a waiter knows whether it is still alive. A waiter that is not passes the lock on.
 * 3. An instance may have been started again under the same id. Its newest waiters come first, because the former
 *    process can pass nothing on.
 */
export class HandOvers {
  readonly #connection: EtcdConnection;

  constructor(connection: EtcdConnection) {
    this.#connection = connection;
  }

  /** False when the instance does not wait, or the claim did not hold the lock any more. */
  async give(queued: QueuedClaim, instance: string, timeout: number): Promise<boolean> {
    return this.#give(queued, instance, await this.#queueOf(queued, timeout), timeout);
  }

  /** Gives the lock, if it was given to this waiter, to another waiter of its instance. False when there is none. */
  async passOn(queued: QueuedClaim, timeout: number): Promise<boolean> {
    const queue = await this.#queueOf(queued, timeout);
    const [owner] = queue;
    if (owner?.lease !== queued.lease.id || owner.key === queued.ownKey) return false;
    queued.take(owner);
    return this.#give(queued, queued.claim.instance, queue, timeout);
  }

  /** The oldest first. */
  async #queueOf({ claim }: QueuedClaim, timeout: number): Promise<readonly KeyValue[]> {
    const { kvs } = await this.#connection.call('range', inOrder(claim.key), timeout);
    return kvs.filter((each) => !isLasting(each));
  }

  async #give(queued: QueuedClaim, instance: string, queue: readonly KeyValue[], timeout: number): Promise<boolean> {
    const { key, isOurs } = queued;
    const waiting = queue
      .map((keyValue) => ({ keyValue, says: readClaim(keyValue) }))
      .filter(({ keyValue, says }) => keyValue.key !== key && says?.instance === instance);
    const next = waiting.find(({ says }) => says?.inbox === waiting.at(-1)!.says?.inbox);
    if (!next) return false;
    const { key: former, value, lease, modRevision } = next.keyValue;
    const waits: Compare = { key: former, result: 'EQUAL', target: 'MOD', modRevision };
    const success: RequestOp[] = [{ requestPut: { key, value, lease } }, { requestDeleteRange: { key: former } }];
    try {
      const request = { compare: [...isOurs, waits], success };
      return (await this.#connection.call('txn', request, timeout)).succeeded;
    } catch (error) {
      if (error instanceof LeaseGoneError) return false;
      throw error;
    }
  }
}
