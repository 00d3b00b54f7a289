import { LeaseGoneError } from '../client/call-errors.js';
import type { EtcdConnection } from '../client/connection.js';
import type { Compare, KeyValue, RequestOp } from '../client/messages.js';
import { inOrder } from '../names.js';
import type { QueuedClaim } from './queued-claim.js';
import { isLasting, readPlace } from './records.js';

/**
 * Gives the holder's place to a waiting instance, which thereby comes before the others. The place that it waited in is
 * deleted, by which it learns of that.
 *
 * Whether a waiter is alive only its own driver knows: one that is not passes on what it was given. Of an instance that
 * was started again under the same id, what waits since then comes first, for the one before can pass nothing on.
 */
export class HandOvers {
  readonly #connection: EtcdConnection;

  constructor(connection: EtcdConnection) {
    this.#connection = connection;
  }

  /** False when the instance does not wait, or the place was not ours any more. */
  async give(place: QueuedClaim, instance: string, timeout: number): Promise<boolean> {
    return this.#give(place, instance, await this.#lineOf(place, timeout), timeout);
  }

  /** Gives what was given to this waiter to another one of its instance. False when nothing was, or nobody waits. */
  async passOn(place: QueuedClaim, timeout: number): Promise<boolean> {
    const line = await this.#lineOf(place, timeout);
    const [owner] = line;
    if (owner?.lease !== place.lease.id || owner.key === place.ownKey) return false;
    place.take(owner);
    return this.#give(place, place.claim.instance, line, timeout);
  }

  /** The oldest first. */
  async #lineOf({ claim }: QueuedClaim, timeout: number): Promise<readonly KeyValue[]> {
    const { kvs } = await this.#connection.call('range', inOrder(claim.key), timeout);
    return kvs.filter((place) => !isLasting(place));
  }

  async #give(place: QueuedClaim, instance: string, line: readonly KeyValue[], timeout: number): Promise<boolean> {
    const { key, isOurs } = place;
    const waiting = line
      .map((keyValue) => ({ keyValue, says: readPlace(keyValue) }))
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
