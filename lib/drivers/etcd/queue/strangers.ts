import type { EtcdConnection } from '../client/connection.js';
import type { Compare, KeyValue, RequestOp } from '../client/messages.js';
import { inOrder } from '../names.js';
import { isLasting, readPlace } from './records.js';

/** Keys that one request removes; etcd allows 128 operations in one. */
const MOST_AT_ONCE = 100;
/** Of a line whose strangers come again as soon as they are removed, we ask no more than so often. */
const ATTEMPTS = 3;
const MOST_WARNINGS = 100;

/**
 * Keys in the line of a lock that no driver has written. One without a lease would block the lock for ever, so it is
 * removed; one with a lease that says nothing we understand keeps its place. Either is said once.
 */
export class Strangers {
  readonly #connection: EtcdConnection;
  readonly #warn: (message: string) => void;
  readonly #known = new Set<string>();

  constructor(connection: EtcdConnection, warn: (message: string) => void) {
    this.#connection = connection;
    this.#warn = warn;
  }

  /** @param seen places of the line, the holder's first. Whether the line has to be looked at again */
  async removed(lock: string, seen: readonly KeyValue[], attempt: number, timeout: number): Promise<boolean> {
    const [owner] = seen;
    if (!seen.some(isLasting)) {
      if (owner && !readPlace(owner))
        this.#say(owner, 'is no record of this package, and blocks the lock until its lease ends');
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
    for (const place of lasting) this.#say(place, 'has no lease and would block the lock for ever: it was removed');
    return true;
  }

  #say({ key }: KeyValue, what: string): void {
    if (this.#known.has(key) || this.#known.size >= MOST_WARNINGS) return;
    this.#known.add(key);
    const [lock] = key.split('/');
    this.#warn(
      `etcd: the key ${JSON.stringify(key)} in the line of the lock "${lock}" ${what}. ` +
        'Who else writes below the namespace? Let other applications use another prefix.',
    );
  }
}
