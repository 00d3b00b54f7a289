import type {
  AcquireMode,
  Claim,
  DriverCapabilities,
  DriverEvent,
  DriverListener,
  Granted,
  LeaseRef,
  LockDriver,
  LockRecord,
  Refused,
  RenewOutcome,
  TokenBlock,
} from '../../core/lock-driver.js';
import { DriverUnavailableError } from '../../core/errors.js';
import { namespaceOf } from '../../core/store-key.js';
import { agreed, count, mostNamed, type Result, type Vote } from './ballot.js';
import { FreedCount } from './freed.js';
import { givenBackKey, leaseKey, tailOf, tokenKey, toRecord, waitersKey } from './lease-text.js';
import { firstQuorum, mayHaveBeenExecuted, patienceFor, poll, tooFew } from './quorum.js';
import { scripts } from './scripts/scripts.generated.js';
import type { Server } from './server.js';
import { type RedlockServer, Servers } from './servers.js';

/** A holder that was given back is remembered for its TTL, and at least this long, in milliseconds. */
const GIVEN_BACK_FOR = 60_000;
/** Fencing tokens that a grant reserves: fewer than microseconds in a round trip, so they stay behind the clock. */
const TOKENS = 64;
/** How often one who is ahead in a split vote asks again for the votes that the others give back. */
const ROUNDS = 8;
/** What a split vote is worth waiting for, in milliseconds, before it is asked again. */
const SPLIT = 10;

export interface RedlockDriverOptions {
  /** An odd number of independent servers, at least three; none a replica of another. */
  readonly servers: readonly RedlockServer[];
}

/** What is known of a claim from its earlier requests. */
interface Attempt {
  readonly proposed: number;
  /** Servers on which an earlier request may yet be executed. */
  readonly strays: Set<Server>;
  /** Rivals in a split vote that were let pass. */
  readonly letPass: Set<string>;
  splits: number;
}

/**
 * Leases on an odd number of independent Redis servers, 6.2 or later: held by whoever has the votes of a quorum. Every
 * call is settled by a quorum, not by the slowest server. Exclusive as long as the servers' clocks run at the same rate
 * and none of a quorum forgets: a server that restarts without its data within a TTL may vote twice. The fencing tokens
 * still increase then, if the clocks agree. There is no queue, so it is not fair; who waits is told of a release.
 */
export class RedlockDriver implements LockDriver {
  readonly name = 'redlock';
  readonly capabilities: DriverCapabilities = { scope: 'server', queue: false, push: true, minTtl: 100 };

  readonly #servers: Servers;
  readonly #freed: FreedCount;
  readonly #listeners = new Set<DriverListener>();
  /** By the objects that the core uses for a claim all the time. */
  readonly #attempts = new WeakMap<LeaseRef, Attempt>();
  /** Channels that a quorum of servers tells us of, and those that were asked for. */
  readonly #channels = new Map<string, Promise<unknown> | 'subscribed'>();
  #round = 0;
  #connecting: Promise<void> | undefined;

  /** @throws LockConfigError naming what is wrong */
  constructor({ servers }: RedlockDriverOptions) {
    this.#servers = new Servers(servers, {
      up: () => this.#tell({ type: 'up' }),
      down: (cause) => this.#tell({ type: 'down', cause }),
      message: (message) => this.#heard(message),
    });
    this.#freed = new FreedCount(this.#servers.quorum);
  }

  connect(listener: DriverListener): Promise<void> {
    this.#listeners.add(listener);
    this.#connecting ??= this.#servers.connect();
    return this.#connecting;
  }

  async acquire(claim: Claim, mode: AcquireMode): Promise<Granted | Refused> {
    this.#servers.assertDistinct();
    const channel = channelOf(claim.key);
    if (this.#channels.get(channel) !== 'subscribed') await this.#subscribe(channel);
    const attempt = this.#attemptOf(claim);
    for (let round = 1; ; round++) {
      const sentAt = performance.now();
      const id = ++this.#round;
      const result = await this.#vote(claim, mode, attempt, id);
      if (result.status === 'won') return this.#number(claim, attempt, id, result.votes);
      if (result.status === 'ahead' && round < ROUNDS) {
        await pause((performance.now() - sentAt) * (0.5 + Math.random()));
        continue;
      }
      this.#withdraw(claim, attempt, id);
      if (result.status === 'lost') return { status: 'refused', record: result.record };
      for (const rival of result.rivals) attempt.letPass.add(rival);
      // Nobody tells of the end of a split vote.
      const remaining = Math.min(result.record.remaining, SPLIT * 2 ** attempt.splits++);
      return { status: 'refused', record: { ...result.record, remaining } };
    }
  }

  async cancel(claim: Claim): Promise<void> {
    const keys = [leaseKey(claim), waitersKey(claim), givenBackKey(claim)];
    const args = [claim.holder, '', Math.max(claim.ttl, GIVEN_BACK_FOR), channelOf(claim.key)];
    await firstQuorum(this.#servers.run(scripts.release, keys, args), patienceFor(claim.ttl));
  }

  async renew(leases: readonly LeaseRef[]): Promise<readonly RenewOutcome[]> {
    if (leases.length === 0) return [];
    const keys = leases.flatMap((lease) => [leaseKey(lease), waitersKey(lease)]);
    const args = leases.flatMap(({ holder, ttl }) => [holder, ttl]);
    const patience = patienceFor(Math.min(...leases.map(({ ttl }) => ttl)));
    const replies = this.#servers.run(scripts.renew, keys, args) as Promise<number[]>[];
    const outcomes = await poll(replies, patience, (tally) => {
      if (tally.failures.length >= this.#servers.quorum) throw tooFew(tally);
      const verdicts = leases.map((_, index) => this.#verdict(tally.answers.map((answer) => answer[index]!)));
      return tally.pending === 0 || !verdicts.includes('unknown') ? verdicts : undefined;
    });
    // The votes that are left are of no use to us, and were just armed again.
    leases.forEach((lease, index) => outcomes[index] === 'gone' && this.release(lease).catch(() => undefined));
    return outcomes;
  }

  /** True when a quorum may have been this holder's: of any quorum that answers, at least one server knew it then. */
  async release(lease: LeaseRef): Promise<boolean> {
    const { key, holder, ttl } = lease;
    const strays = this.#attempts.get(lease)?.strays;
    const keys = [leaseKey(lease), waitersKey(lease), givenBackKey(lease)];
    const channel = channelOf(key);
    const args = (server: Server) => [holder, '', strays?.has(server) ? Math.max(ttl, GIVEN_BACK_FOR) : 0, channel];
    const answers = await firstQuorum(this.#servers.run(scripts.release, keys, args), patienceFor(ttl));
    return answers.includes(1);
  }

  async reserve(lease: LeaseRef): Promise<TokenBlock | null> {
    const { quorum, size } = this.#servers;
    const args = [lease.holder, Date.now() * 1000, TOKENS];
    const replies = this.#servers.run(scripts.reserve, [leaseKey(lease), tokenKey(lease)], args);
    const tokens = await poll(replies, patienceFor(lease.ttl), (tally) => {
      const reserved = tally.answers.filter((answer) => answer !== 0);
      if (reserved.length >= quorum) return reserved.map(Number);
      if (tally.failures.length >= quorum) throw tooFew(tally);
      return tally.answers.length - reserved.length >= quorum || tally.pending === 0 ? [] : undefined;
    });
    if (tokens.length === 0) return null;
    const votes = tokens.map((fencingToken) => ({ fencingToken, tokens: TOKENS }));
    const { block, isReserved } = agreed(votes, size);
    return isReserved || (await this.#raise(lease, block)) ? block : null;
  }

  async inspect(key: string): Promise<LockRecord | null> {
    const { quorum } = this.#servers;
    const replies = this.#servers.run(scripts.inspect, [leaseKey({ key }), waitersKey({ key })], []);
    return (
      await poll(replies as Promise<[number?, string?, number?]>[], patienceFor(Infinity), (tally) => {
        if (tally.failures.length >= quorum) throw tooFew(tally);
        const records = tally.answers.flatMap(([remaining = 0, lease, waiters = 0]) =>
          lease === undefined ? [] : [toRecord(remaining, lease, waiters)],
        );
        if (tally.answers.length - records.length >= quorum) return { record: null };
        const leader = mostNamed(records);
        const times = leader?.times ?? 0;
        if (times >= quorum) return leader;
        // Those that do not answer may name it too.
        return tally.pending === 0
          ? { record: times + tally.failures.length >= quorum ? leader!.record : null }
          : undefined;
      })
    ).record;
  }

  async close(listener: DriverListener): Promise<void> {
    this.#listeners.delete(listener);
    if (this.#listeners.size === 0) this.#servers.close();
  }

  #attemptOf(claim: Claim): Attempt {
    let attempt = this.#attempts.get(claim);
    if (!attempt) {
      attempt = { proposed: Date.now() * 1000, strays: new Set(), letPass: new Set(), splits: 0 };
      this.#attempts.set(claim, attempt);
    }
    return attempt;
  }

  async #vote(claim: Claim, mode: AcquireMode, attempt: Attempt, round: number): Promise<Result> {
    const { key, holder, ttl } = claim;
    const keys = [leaseKey(claim), tokenKey(claim), waitersKey(claim), givenBackKey(claim), givenBackKey(claim, round)];
    const args = [holder, ttl, round, tailOf(claim), attempt.proposed, TOKENS, mode, channelOf(key)];
    const votes = this.#servers.each(async (server) => {
      try {
        return toVote(await server.run(scripts.acquire, keys, args));
      } catch (error) {
        if (mayHaveBeenExecuted(error)) attempt.strays.add(server);
        throw error;
      }
    });
    try {
      return await poll(votes, patienceFor(ttl), (tally) => count(tally, votes.length, holder, attempt.letPass));
    } catch (error) {
      this.#withdraw(claim, attempt, round);
      throw error;
    }
  }

  /** The grant with its token, once a quorum has reserved that. */
  async #number(claim: Claim, attempt: Attempt, round: number, votes: readonly TokenBlock[]): Promise<Granted> {
    const { block, isReserved } = agreed(votes, this.#servers.size);
    try {
      if (!isReserved && !(await this.#raise(claim, block))) {
        throw new DriverUnavailableError(`Redlock: "${claim.key}" was lost while its token was raised.`, {
          sent: true,
        });
      }
    } catch (error) {
      this.#withdraw(claim, attempt, round);
      throw error;
    }
    return { status: 'granted', ...block, ttl: claim.ttl, waiters: 0 };
  }

  async #raise(lease: LeaseRef, { fencingToken, tokens }: TokenBlock): Promise<boolean> {
    const { quorum } = this.#servers;
    const args = [lease.holder, fencingToken, fencingToken + tokens - 1];
    const replies = this.#servers.run(scripts.raise, [leaseKey(lease), tokenKey(lease)], args);
    return poll(replies, patienceFor(lease.ttl), (tally) => {
      const raised = tally.answers.filter((answer) => answer === 1).length;
      if (raised >= quorum) return true;
      if (tally.failures.length >= quorum) throw tooFew(tally);
      return raised + tally.pending < quorum ? false : undefined;
    });
  }

  /** Gives back what this round got, or may get yet, without waiting for it: a later request comes after it anyway. */
  #withdraw(claim: Claim, attempt: Attempt, round: number): void {
    const keys = [leaseKey(claim), waitersKey(claim), givenBackKey(claim, round)];
    const args = (server: Server) => [
      claim.holder,
      round,
      attempt.strays.has(server) ? GIVEN_BACK_FOR : 0,
      channelOf(claim.key),
    ];
    for (const answer of this.#servers.run(scripts.release, keys, args)) answer.catch(() => undefined);
  }

  /** What the servers' answers for one lease come to. */
  #verdict(answers: readonly number[]): RenewOutcome {
    const { quorum } = this.#servers;
    const held = answers.filter((waiters) => waiters >= 0);
    if (held.length >= quorum) return { waiters: Math.max(...held) };
    return answers.length - held.length >= quorum ? 'gone' : 'unknown';
  }

  /** Resolves when a quorum of servers tells us of releases, or cannot for now: they are hints. */
  async #subscribe(channel: string): Promise<void> {
    let subscribing = this.#channels.get(channel);
    if (!subscribing) {
      const subscriptions = this.#servers.each(({ connection }) => connection.subscribe(channel));
      subscribing = firstQuorum(subscriptions, patienceFor(Infinity)).catch(() => undefined);
      this.#channels.set(channel, subscribing);
    }
    await subscribing;
    this.#channels.set(channel, 'subscribed');
  }

  #heard(message: string): void {
    const freed = /^freed (\S+) \{(.*)\}$/s.exec(message);
    if (freed && this.#freed.isFree(freed[1]!)) this.#tell({ type: 'freed', key: freed[2]! });
    const contended = /^contended \{(.*)\}$/s.exec(message);
    if (contended) this.#tell({ type: 'contended', key: contended[1]! });
  }

  #tell(event: DriverEvent): void {
    for (const listener of this.#listeners) listener(event);
  }
}

/** Where releases in a namespace are told, as far as somebody waits. Beside the inboxes, for the same permission. */
function channelOf(key: string): string {
  return `${namespaceOf(key)}:i:freed`;
}

function toVote(reply: unknown): Vote {
  if (typeof reply === 'string') {
    const [token, tokens] = reply.split(' ');
    return { fencingToken: Number(token), tokens: Number(tokens) };
  }
  const [remaining = 0, lease] = reply as [number?, string?];
  return { record: lease === undefined ? null : toRecord(remaining, lease, 0) };
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => void setTimeout(resolve, milliseconds).unref());
}
