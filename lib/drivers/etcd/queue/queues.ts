import { CALL_TIMEOUT, type EtcdConnection } from '../client/connection.js';
import type { Compare, KeyValue, RequestOp, TxnRequest, TxnResponse } from '../client/messages.js';
import { below, inboxKey, inOrder } from '../names.js';
import type { QueuedClaim } from './queued-claim.js';
import { isLasting, readPlace } from './records.js';
import type { StoreLease } from './store-lease.js';
import { Strangers } from './strangers.js';

/** Lines whose state one request reads; etcd allows 128 operations in one. */
const MOST_AT_ONCE = 100;

export interface Held {
  readonly status: 'held';
  readonly token: number;
  readonly waiters: number;
}

export interface Waiting {
  readonly status: 'waiting';
  /** The holder's place, and how many there are in the line. */
  readonly owner: KeyValue;
  readonly count: number;
  /** The place in front, where the answer told, and the revision up to which it was seen. */
  readonly inFront: string | undefined;
  readonly revision: number;
}

export type Outcome =
  | Held
  | Waiting
  /** It did not want to wait. */
  | { readonly status: 'refused'; readonly owner: KeyValue; readonly count: number }
  /** The place, or its lease, does not exist any more. */
  | { readonly status: 'lost' };

/** The transactions on the lines of locks. Each is atomic and may be repeated; none needs an answer of one before. */
export class Queues {
  readonly #connection: EtcdConnection;
  readonly #inbox: string;
  readonly #strangers: Strangers;

  constructor(connection: EtcdConnection, inbox: string, warn: (message: string) => void) {
    this.#connection = connection;
    this.#inbox = inbox;
    this.#strangers = new Strangers(connection, warn);
  }

  /** Takes the place if the line is empty, else joins the line when asked to. Repeated, it finds what it took. */
  async enter(place: QueuedClaim, isPatient: boolean, timeout: number, attempt = 1): Promise<Outcome> {
    const { claim, key, lease } = place;
    const put: RequestOp = { requestPut: { key, value: place.value(this.#inbox), lease: lease.id } };
    const isEmpty: Compare = { ...below(claim.key), result: 'EQUAL', target: 'CREATE', createRevision: 0 };
    const failure = isPatient ? [put, oldest(claim.key), newest(claim.key, 2)] : [oldest(claim.key)];
    const answer = await this.#run([lease], { compare: [isEmpty], success: [put], failure }, timeout);
    const { revision } = answer.header;
    if (answer.succeeded) {
      place.createRevision = revision;
      return { status: 'held', token: revision, waiters: 0 };
    }
    const [line, last] = rangesOf(answer);
    const owner = line!.kvs[0]!;
    const { count } = line!;
    if (owner.lease === lease.id) {
      place.take(owner);
      if (owner.key === key) return { status: 'held', token: owner.modRevision, waiters: count - 1 };
      // The holder gave us its place after an attempt whose answer was lost.
      return this.confirm(place, timeout);
    }
    if (await this.#strangers.removed(claim.key, [owner, ...(last?.kvs ?? [])], attempt, timeout)) {
      return this.enter(place, isPatient, timeout, attempt + 1);
    }
    if (!isPatient) return { status: 'refused', owner, count };
    const [self, inFront] = last!.kvs;
    if (self?.key !== key) return { status: 'waiting', owner, count, inFront: undefined, revision };
    place.createRevision = self.createRevision;
    return { status: 'waiting', owner, count, inFront: inFront?.key, revision };
  }

  /** Where a waiting place stands; takes the lock when nobody is in front any more. */
  async look(place: QueuedClaim, timeout: number, attempt = 1): Promise<Outcome> {
    const { claim, key, lease, createRevision } = place;
    const success = [{ requestRange: { key, keysOnly: true } }, oldest(claim.key)];
    if (createRevision !== undefined) success.push(newest(claim.key, 1, createRevision));
    const answer = await this.#run([lease], { success }, timeout);
    const [own, line, before] = rangesOf(answer);
    const [self] = own!.kvs;
    const [owner] = line!.kvs;
    if (!owner) return { status: 'lost' };
    if (owner.lease === lease.id) {
      place.take(owner);
      return this.confirm(place, timeout);
    }
    if (self?.lease !== lease.id) return { status: 'lost' };
    place.createRevision = self.createRevision;
    if (!before) return this.look(place, timeout);
    const [inFront] = before.kvs;
    if (await this.#strangers.removed(claim.key, [owner, ...before.kvs], attempt, timeout)) {
      return this.look(place, timeout, attempt + 1);
    }
    return { status: 'waiting', owner, count: line!.count, inFront: inFront?.key, revision: answer.header.revision };
  }

  /**
   * After a wait: one linearizable step checks that place and lease exist and that nobody is in front, and mints the
   * token. Written when somebody is, it changes nothing that counts.
   */
  async confirm(place: QueuedClaim, timeout: number): Promise<Outcome> {
    const { claim, key, lease } = place;
    const put: RequestOp = { requestPut: { key, value: place.value(this.#inbox), lease: lease.id } };
    const success = [put, oldest(claim.key, true)];
    // A place of our own besides one that we were given would be in the way of others.
    if (key !== place.ownKey) success.unshift({ requestDeleteRange: { key: place.ownKey } });
    const answer = await this.#run([lease], { compare: place.isOurs, success }, timeout);
    if (!answer.succeeded) return { status: 'lost' };
    const [line] = rangesOf(answer);
    if (line!.kvs[0]!.key !== key) return this.look(place, timeout);
    return { status: 'held', token: answer.header.revision, waiters: line!.count - 1 };
  }

  /** A newer token for the holder. */
  async reserve(place: QueuedClaim, timeout: number): Promise<number | undefined> {
    const put: RequestOp = { requestPut: { key: place.key, ignoreValue: true, ignoreLease: true } };
    const answer = await this.#run([place.lease], { compare: place.isOurs, success: [put] }, timeout);
    return answer.succeeded ? answer.header.revision : undefined;
  }

  /** Attaches a held place to another lease. */
  async moveTo(lease: StoreLease, place: QueuedClaim, ttl: number, timeout: number): Promise<boolean> {
    const put: RequestOp = { requestPut: { key: place.key, value: place.value(this.#inbox, ttl), lease: lease.id } };
    const answer = await this.#run([lease], { compare: place.isOurs, success: [put] }, timeout);
    return answer.succeeded;
  }

  /** Whether it was still ours. */
  async leave(place: QueuedClaim, timeout: number): Promise<boolean> {
    const success = [{ requestDeleteRange: { key: place.key } }];
    return (await this.#run([], { compare: place.isOurs, success }, timeout)).succeeded;
  }

  /** For each place the number of those behind it, or undefined when it is not the holder's any more. */
  async waitersOf(places: readonly QueuedClaim[], timeout: number): Promise<(number | undefined)[]> {
    const chunks: QueuedClaim[][] = [];
    for (let from = 0; from < places.length; from += MOST_AT_ONCE) chunks.push(places.slice(from, from + MOST_AT_ONCE));
    const answers = await Promise.all(
      chunks.map(async (chunk) => {
        const leases = chunk.map(({ lease }) => lease);
        return this.#run(leases, { success: chunk.map(({ claim }) => oldest(claim.key, true)) }, timeout);
      }),
    );
    const lines = answers.flatMap(rangesOf);
    return places.map(({ key, createRevision, lease }, index) => {
      const { kvs, count } = lines[index]!;
      const [owner] = kvs;
      const isOurs = owner?.key === key && owner.createRevision === createRevision && owner.lease === lease.id;
      return isOurs ? count - 1 : undefined;
    });
  }

  /** The holder's place, and how many there are in the line. */
  async ownerOf(lock: string): Promise<{ owner: KeyValue | undefined; count: number }> {
    const { kvs, count } = await this.#connection.call('range', { ...inOrder(lock), limit: 10 }, CALL_TIMEOUT);
    const lasting = kvs.filter(isLasting).length;
    return { owner: kvs.find((place) => !isLasting(place)), count: count - lasting };
  }

  /** Tells the holder that somebody waits. The note goes with the holder's lease. */
  async tellContended(lock: string, owner: KeyValue): Promise<void> {
    const holder = readPlace(owner);
    if (!holder) return;
    const note = { key: inboxKey(lock, holder.inbox), value: `contended ${lock}`, lease: owner.lease };
    await this.#connection.call('txn', { success: [{ requestPut: note }] }, CALL_TIMEOUT);
  }

  /** Lets the answer prove the last keep-alive of the leases. */
  async #run(leases: readonly StoreLease[], request: TxnRequest, timeout: number): Promise<TxnResponse> {
    const provers = leases.map((lease) => lease.prover());
    const answer = await this.#connection.call('txn', request, timeout);
    for (const prove of provers) prove(answer.header.raftTerm);
    return answer;
  }
}

/** The oldest place of a line is its holder's. */
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
