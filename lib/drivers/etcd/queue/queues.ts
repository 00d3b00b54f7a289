import type { Clock } from '../../../core/clock.js';
import { CALL_TIMEOUT, type EtcdConnection } from '../client/connection.js';
import type { Compare, KeyValue, RequestOp, TxnRequest, TxnResponse } from '../client/messages.js';
import { below, inboxKey, inOrder } from '../names.js';
import type { QueuedClaim } from './queued-claim.js';
import { isLasting, readClaim } from './records.js';
import type { StoreLease } from './store-lease.js';
import { Strangers } from './strangers.js';

/** Queues that one request reads. etcd allows 128 operations in a transaction. */
const MOST_AT_ONCE = 100;

export interface Held {
  readonly status: 'held';
  readonly token: number;
  readonly waiters: number;
}

export interface Waiting {
  readonly status: 'waiting';
  /** The key of the holder, and the number of keys in the queue. */
  readonly owner: KeyValue;
  readonly count: number;
  /** The key in front, where the answer has it, and the revision in which it was seen. */
  readonly inFront: string | undefined;
  readonly revision: number;
}

export type Outcome =
  | Held
  | Waiting
  /** The claim did not want to wait. */
  | { readonly status: 'refused'; readonly owner: KeyValue; readonly count: number }
  /** The claim, or its lease, does not exist any more. */
  | { readonly status: 'lost' };

/** The transactions on the queues of locks. Each is atomic, may be repeated, and needs no answer of an earlier one. */
export class Queues {
  readonly #connection: EtcdConnection;
  readonly #inbox: string;
  readonly #clock: Clock;
  readonly #strangers: Strangers;

  constructor(connection: EtcdConnection, inbox: string, clock: Clock, warn: (message: string) => void) {
    this.#connection = connection;
    this.#inbox = inbox;
    this.#clock = clock;
    this.#strangers = new Strangers(connection, warn);
  }

  /** Takes the lock if the queue is empty. Otherwise, with `joins`, the claim becomes a waiter. May be repeated. */
  async enter(queued: QueuedClaim, joins: boolean, timeout: number, attempt = 1): Promise<Outcome> {
    const { claim, key, lease } = queued;
    const put = this.#put(queued);
    const isEmpty: Compare = { ...below(claim.key), result: 'EQUAL', target: 'CREATE', createRevision: 0 };
    const failure = joins ? [put, oldest(claim.key), newest(claim.key, 2)] : [oldest(claim.key)];
    const answer = await this.#run([lease], { compare: [isEmpty], success: [put], failure }, timeout);
    const { revision } = answer.header;
    if (answer.succeeded) {
      queued.createRevision = revision;
      return { status: 'held', token: revision, waiters: 0 };
    }
    const [queue, last] = rangesOf(answer);
    const owner = queue!.kvs[0]!;
    const { count } = queue!;
    if (owner.lease === lease.id) {
      queued.take(owner);
      if (owner.key === key) return { status: 'held', token: owner.modRevision, waiters: count - 1 };
      // A holder gave the lock to this claim after an attempt whose answer was lost.
      return this.confirm(queued, timeout);
    }
    if (await this.#strangers.removed(claim.key, [owner, ...(last?.kvs ?? [])], attempt, timeout)) {
      return this.enter(queued, joins, timeout, attempt + 1);
    }
    if (!joins) return { status: 'refused', owner, count };
    const [self, inFront] = last!.kvs;
    if (self?.key !== key) return { status: 'waiting', owner, count, inFront: undefined, revision };
    queued.createRevision = self.createRevision;
    return { status: 'waiting', owner, count, inFront: inFront?.key, revision };
  }

  /** The position of a waiting claim. Takes the lock when nobody is in front any more. */
  async look(queued: QueuedClaim, timeout: number, attempt = 1): Promise<Outcome> {
    const { claim, key, lease, createRevision } = queued;
    const success = [{ requestRange: { key, keysOnly: true } }, oldest(claim.key)];
    if (createRevision !== undefined) success.push(newest(claim.key, 1, createRevision));
    const answer = await this.#run([lease], { success }, timeout);
    const [own, queue, before] = rangesOf(answer);
    const [self] = own!.kvs;
    const [owner] = queue!.kvs;
    if (!owner) return { status: 'lost' };
    if (owner.lease === lease.id) {
      queued.take(owner);
      return this.confirm(queued, timeout);
    }
    if (self?.lease !== lease.id) return { status: 'lost' };
    queued.createRevision = self.createRevision;
    if (!before) return this.look(queued, timeout);
    const [inFront] = before.kvs;
    if (await this.#strangers.removed(claim.key, [owner, ...before.kvs], attempt, timeout)) {
      return this.look(queued, timeout, attempt + 1);
    }
    return { status: 'waiting', owner, count: queue!.count, inFront: inFront?.key, revision: answer.header.revision };
  }

  /**
   * After a wait: one linearizable step checks that the key and its lease exist and that nobody is in front, and mints
   * the token. Where somebody is in front, the write has no effect.
   */
  async confirm(queued: QueuedClaim, timeout: number): Promise<Outcome> {
    const { claim, key, lease } = queued;
    const success = [this.#put(queued), oldest(claim.key, true)];
    // Beside a key that a holder gave to this claim, its own key would be in the way of others.
    if (key !== queued.ownKey) success.unshift({ requestDeleteRange: { key: queued.ownKey } });
    const answer = await this.#run([lease], { compare: queued.isOurs, success }, timeout);
    if (!answer.succeeded) return { status: 'lost' };
    const [queue] = rangesOf(answer);
    if (queue!.kvs[0]!.key !== key) return this.look(queued, timeout);
    return { status: 'held', token: answer.header.revision, waiters: queue!.count - 1 };
  }

  /** A newer token for the holder. */
  async reserve(queued: QueuedClaim, timeout: number): Promise<number | undefined> {
    const put: RequestOp = { requestPut: { key: queued.key, ignoreValue: true, ignoreLease: true } };
    const answer = await this.#run([queued.lease], { compare: queued.isOurs, success: [put] }, timeout);
    return answer.succeeded ? answer.header.revision : undefined;
  }

  /** Attaches the key of a holder to another lease. */
  async moveTo(lease: StoreLease, queued: QueuedClaim, ttl: number, timeout: number): Promise<boolean> {
    const put = this.#put(queued, lease, ttl);
    return (await this.#run([lease], { compare: queued.isOurs, success: [put] }, timeout)).succeeded;
  }

  /** Deletes the key of a claim. Returns whether it was still the claim's. */
  async leave(queued: QueuedClaim, timeout: number): Promise<boolean> {
    const success = [{ requestDeleteRange: { key: queued.key } }];
    return (await this.#run([], { compare: queued.isOurs, success }, timeout)).succeeded;
  }

  /** The number of claims behind each of these; undefined where it is not the holder any more. */
  async waitersOf(claims: readonly QueuedClaim[], timeout: number): Promise<(number | undefined)[]> {
    const chunks: QueuedClaim[][] = [];
    for (let from = 0; from < claims.length; from += MOST_AT_ONCE) chunks.push(claims.slice(from, from + MOST_AT_ONCE));
    const answers = await Promise.all(
      chunks.map(async (chunk) => {
        const leases = chunk.map(({ lease }) => lease);
        return this.#run(leases, { success: chunk.map(({ claim }) => oldest(claim.key, true)) }, timeout);
      }),
    );
    const queues = answers.flatMap(rangesOf);
    return claims.map(({ key, createRevision, lease }, index) => {
      const { kvs, count } = queues[index]!;
      const [owner] = kvs;
      const isOurs = owner?.key === key && owner.createRevision === createRevision && owner.lease === lease.id;
      return isOurs ? count - 1 : undefined;
    });
  }

  /** The key of the holder, and the number of keys in the queue. */
  async ownerOf(lock: string): Promise<{ owner: KeyValue | undefined; count: number }> {
    const { kvs, count } = await this.#connection.call('range', { ...inOrder(lock), limit: 10 }, CALL_TIMEOUT);
    const lasting = kvs.filter(isLasting).length;
    return { owner: kvs.find((each) => !isLasting(each)), count: count - lasting };
  }

  /** Leaves a note for the holder: somebody waits. The note goes with the holder's lease. */
  async notifyContended(lock: string, owner: KeyValue): Promise<void> {
    const holder = readClaim(owner);
    if (!holder) return;
    const note = { key: inboxKey(lock, holder.inbox), value: `contended ${lock}`, lease: owner.lease };
    await this.#connection.call('txn', { success: [{ requestPut: note }] }, CALL_TIMEOUT);
  }

  #put(queued: QueuedClaim, { id }: StoreLease = queued.lease, ttl?: number): RequestOp {
    return { requestPut: { key: queued.key, value: queued.value(this.#inbox, this.#clock.wall(), ttl), lease: id } };
  }

  /** Runs a transaction. Its answer proves the last keep-alive of the leases. */
  async #run(leases: readonly StoreLease[], request: TxnRequest, timeout: number): Promise<TxnResponse> {
    const provers = leases.map((lease) => lease.prover());
    const answer = await this.#connection.call('txn', request, timeout);
    for (const prove of provers) prove(answer.header.raftTerm);
    return answer;
  }
}

/** The oldest key of a queue is the holder's. */
function oldest(lock: string, keysOnly = false): RequestOp {
  return { requestRange: { ...inOrder(lock), limit: 1, keysOnly } };
}

function newest(lock: string, limit: number, before?: number): RequestOp {
  const range = { ...below(lock), limit, sortOrder: 'DESCEND', sortTarget: 'CREATE', keysOnly: true } as const;
  return { requestRange: before === undefined ? range : { ...range, maxCreateRevision: before - 1 } };
}

function rangesOf({ responses }: TxnResponse) {
  return responses.flatMap(({ responseRange }) => responseRange ?? []);
}
