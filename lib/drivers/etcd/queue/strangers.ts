import type { EtcdConnection } from '../client/connection.js';
import type { Compare, KeyValue, RequestOp } from '../client/messages.js';
import { inOrder } from '../names.js';
import { isLasting, readClaim } from './records.js';

/** Keys that one request removes. etcd allows 128 operations in a transaction. */
const MOST_AT_ONCE = 100;
/** Attempts on a queue whose strangers come again as soon as they are removed. */
const ATTEMPTS = 3;
const MOST_WARNINGS = 100;

/**
 * Keys in the queue of a lock that no driver has written:
 *
 * - A key without a lease would block the lock for ever. It is removed.
 * - A key with a lease that is no record of this package stays, and blocks the lock until its lease ends.
 *
 * Each key is reported once.
 */
export class Strangers {
  readonly #connection: EtcdConnection;
  readonly #warn: (message: string) => void;
  readonly #known = new Set<string>();

  constructor(connection: EtcdConnection, warn: (message: string) => void) {
    this.#connection = connection;
    this.#warn = warn;
  }

  /**
   * Removes keys without a lease. Resolves with true when the queue has to be read again.
   *
   * @param seen keys of the queue, the holder's first
   */
  async removed(lock: string, seen: readonly KeyValue[], attempt: number, timeout: number): Promise<boolean> {
    const [owner] = seen;
    if (!seen.some(isLasting)) {
      if (owner && !readClaim(owner))
        this.#report(owner, 'is no record of this package, and blocks the lock until its lease ends');
      return false;
    }
    if (attempt > ATTEMPTS) return false;
    const range = { ...inOrder(lock), keysOnly: true, limit: 10 * MOST_AT_ONCE };
    const { kvs } = await this.#connection.call('range', range, timeout);
    const lasting = kvs.filter(isLasting).slice(0, MOST_AT_ONCE);
    const compare = lasting.map(({ key, modRevision }): Compare => ({
      key,
      result: 'EQUAL',
      target: 'MOD',
      modRevision,
    }));
    const success = lasting.map(({ key }): RequestOp => ({ requestDeleteRange: { key } }));
    await this.#connection.call('txn', { compare, success }, timeout);
    for (const stranger of lasting)
      this.#report(stranger, 'has no lease and would block the lock for ever: it was removed');
    return true;
  }

  #report({ key }: KeyValue, what: string): void {
    if (this.#known.has(key) || this.#known.size >= MOST_WARNINGS) return;
    this.#known.add(key);
    const [lock] = key.split('/');
    this.#warn(
      `etcd: the key ${JSON.stringify(key)} in the queue of the lock "${lock}" ${what}. ` +
        'Who else writes below the namespace? Let other applications use another prefix.',
    );
  }
}
