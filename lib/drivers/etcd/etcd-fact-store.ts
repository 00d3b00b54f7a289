import type { Clock } from '../../core/clock.js';
import type { FactStore } from '../../core/fact-store.js';
import { LeaseGoneError } from './client/call-errors.js';
import { CALL_TIMEOUT, type EtcdConnection } from './client/connection.js';
import type { KeepAlives } from './client/keep-alives.js';
import type { Compare, RequestOp } from './client/messages.js';
import type { Watches } from './client/watches.js';
import { below, factKey, numberKey } from './names.js';
import type { LeasePool } from './queue/lease-pool.js';
import { isFact, isLasting, type Mark, readMark } from './queue/records.js';
import { secondsOf, type StoreLease } from './queue/store-lease.js';

interface Fact {
  readonly value: string;
  readonly seconds: number;
  readonly lease: StoreLease;
  /** The end of the fact, unless it is written again. By the clock of this process. */
  readonly until: number;
}

/**
 * Facts are keys with leases:
 *
 * - TTLs are rounded up to whole seconds. A fact that ran out may disappear a second late.
 * - Watchers hear of a fact that ran out. With Redis they do not.
 * - A fact that is written again with the same value costs a keep-alive and a read.
 */
export class EtcdFactStore implements FactStore {
  readonly #connection: EtcdConnection;
  readonly #pool: LeasePool;
  readonly #keepAlives: KeepAlives;
  readonly #watches: Watches;
  readonly #clock: Clock;
  /** The facts of this driver, by key. */
  readonly #facts = new Map<string, Fact>();
  /** The last write of each key that is under way. */
  readonly #writes = new Map<string, Promise<void>>();

  constructor(connection: EtcdConnection, pool: LeasePool, keepAlives: KeepAlives, watches: Watches, clock: Clock) {
    this.#connection = connection;
    this.#pool = pool;
    this.#keepAlives = keepAlives;
    this.#watches = watches;
    this.#clock = clock;
  }

  put(scope: string, id: string, value: string, ttl: number): Promise<void> {
    const key = factKey(scope, id);
    return this.#inTurn(key, () => this.#put(key, value, ttl));
  }

  remove(scope: string, id: string): Promise<void> {
    const key = factKey(scope, id);
    return this.#inTurn(key, () => this.#remove(key));
  }

  async list(scope: string): Promise<ReadonlyMap<string, string>> {
    const range = below(scope);
    const { kvs } = await this.#connection.call('range', range, CALL_TIMEOUT);
    return new Map(kvs.filter(isFact).map(({ key, value }) => [key.slice(range.key.length), value]));
  }

  watch(scope: string, changed: () => void): () => void {
    return this.#watches.watch(below(scope), { changed: () => changed(), missed: changed });
  }

  /**
   * 1. Read the number. This caller moved it to `to` before: `mine`. Another one did, or it is beyond: `taken`.
   * 2. Write the number on a lease of its own, if it is unchanged. If it has changed, begin again at 1.
   * 3. Revoke the lease of the former number.
   */
  async advance(scope: string, id: string, to: number, by: string, ttl: number): Promise<'mine' | 'taken'> {
    const key = numberKey(scope, id);
    let lease: StoreLease | undefined;
    try {
      for (;;) {
        const { kvs } = await this.#connection.call('range', { key }, CALL_TIMEOUT);
        const [found] = kvs;
        // A value that is no number of this package, or that has no lease, is overwritten.
        const mark = found && !isLasting(found) ? readMark(found) : undefined;
        if (mark && mark.to === to && mark.by === by) return 'mine';
        if (mark && mark.to >= to) return 'taken';
        lease ??= await this.#pool.grant(ttl, CALL_TIMEOUT);
        const value = JSON.stringify({ to, by } satisfies Mark);
        const isUnchanged: Compare = { key, result: 'EQUAL', target: 'MOD', modRevision: found?.modRevision ?? 0 };
        const put: RequestOp = { requestPut: { key, value, lease: lease.id } };
        const answer = await this.#connection.call('txn', { compare: [isUnchanged], success: [put] }, CALL_TIMEOUT);
        if (!answer.succeeded) continue;
        // The number lives as long as this lease, which nobody keeps alive. Nothing is attached to the former lease.
        lease = undefined;
        if (mark) this.#revoke(found!.lease);
        return 'mine';
      }
    } catch (error) {
      // Perhaps the number is attached to the lease, so the lease has to stay.
      lease = undefined;
      throw error;
    } finally {
      if (lease) this.#pool.discard(lease);
    }
  }

  /** Forgets facts that ran out because nobody wrote them again. */
  #forgetOld(): void {
    const now = this.#clock.now();
    for (const [key, { until }] of this.#facts) if (until <= now) this.#facts.delete(key);
  }

  #revoke(lease: number): void {
    void this.#connection.call('leaseRevoke', { ID: lease }, CALL_TIMEOUT).catch(() => undefined);
  }

  /** Writes of one key follow each other: each may revoke the lease that the one before attached. */
  async #inTurn(key: string, write: () => Promise<void>): Promise<void> {
    const turn = (this.#writes.get(key) ?? Promise.resolve()).then(write, write);
    this.#writes.set(key, turn);
    try {
      await turn;
    } finally {
      if (this.#writes.get(key) === turn) this.#writes.delete(key);
    }
  }

  async #put(key: string, value: string, ttl: number): Promise<void> {
    const seconds = secondsOf(ttl);
    const former = this.#facts.get(key);
    const until = this.#clock.now() + 1000 * seconds;
    if (former?.value === value && former.seconds === seconds && (await this.#refresh(key, former.lease))) {
      this.#facts.set(key, { ...former, until });
      return;
    }

    const canKeep = former?.seconds === seconds && (await this.#isAlive(former.lease));
    const lease = canKeep ? former.lease : await this.#pool.grant(ttl, CALL_TIMEOUT);
    if (!former) this.#forgetOld();
    this.#facts.set(key, { value, seconds, lease, until });
    try {
      await this.#connection.call('txn', { success: [{ requestPut: { key, value, lease: lease.id } }] }, CALL_TIMEOUT);
    } catch (error) {
      // The outcome may be unknown. So the next `put` writes the fact with a new lease.
      this.#facts.delete(key);
      throw error;
    }
    if (former && former.lease !== lease) this.#pool.discard(former.lease);
  }

  async #remove(key: string): Promise<void> {
    await this.#connection.call('txn', { success: [{ requestDeleteRange: { key } }] }, CALL_TIMEOUT);
    const fact = this.#facts.get(key);
    this.#facts.delete(key);
    if (fact) this.#pool.discard(fact.lease);
  }

  async #isAlive(lease: StoreLease): Promise<boolean> {
    const sentAt = this.#clock.now();
    return lease.keptAlive(sentAt, await this.#keepAlives.send(lease.id, CALL_TIMEOUT));
  }

  /** False when the fact has to be written again. */
  async #refresh(key: string, lease: StoreLease): Promise<boolean> {
    try {
      if (!(await this.#isAlive(lease))) return false;
      const { kvs } = await this.#connection.call('range', { key, keysOnly: true }, CALL_TIMEOUT);
      return kvs[0]?.lease === lease.id;
    } catch (error) {
      if (error instanceof LeaseGoneError) return false;
      throw error;
    }
  }
}
