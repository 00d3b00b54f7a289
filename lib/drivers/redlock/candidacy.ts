import { DriverUnavailableError } from '../../core/errors.js';
import type { AcquireMode, Claim, Granted, LeaseRef, Refused, TokenBlock } from '../../core/lock-driver.js';
import { count, type Reply, type Result, toVote, type Vote } from './ballot.js';
import { channelOf, givenBackKey, leaseKey, textOf, tokenKey, waitersKey } from './lease-text.js';
import { HEDGE, mayHaveBeenExecuted, patienceFor, poll } from './quorum.js';
import { LaterVotes } from './later-votes.js';
import { scripts } from './scripts/scripts.generated.js';
import type { Server } from './server.js';
import type { Servers } from './servers.js';
import { agreed, lastOf, raise, TOKENS } from './tokens.js';

/** A holder that was given back is remembered for its TTL, and at least this long, in milliseconds. */
export const GIVEN_BACK_FOR = 60_000;
/** How often one who is ahead in a split vote asks again for the votes that the others give back. */
const ROUNDS = 8;
/** What a split vote is worth waiting for, in milliseconds, before it is asked again: so much at first, then twice. */
const SPLIT = 10;

/** What is known of a claim from its requests so far. */
interface Candidate {
  readonly claim: Claim;
  /** Servers that may have given it their vote. */
  readonly open: Set<Server>;
  /** Servers on which an earlier request may yet be executed. */
  readonly strays: Set<Server>;
  /** Rivals in a split vote that were let pass. */
  readonly letPass: Set<string>;
  splits: number;
  /** What a server that has no vote of it is told, once it was granted, and the largest token reserved for it. */
  granted: { readonly lease: string; last: number } | undefined;
}

/**
 * How a claim comes to a lease. A quorum of servers is asked at once, and the others as soon as those do not suffice;
 * when they do, the others get to know it a moment later, unless the lease was given back by then.
 */
export class Candidacy {
  readonly #servers: Servers;
  /** By the objects that the core uses for a claim all the time. */
  readonly #candidates = new WeakMap<LeaseRef, Candidate>();
  readonly #later = new LaterVotes();
  #round = 0;

  constructor(servers: Servers) {
    this.#servers = servers;
  }

  async run(claim: Claim, mode: AcquireMode): Promise<Granted | Refused> {
    const candidate = this.#candidateOf(claim);
    for (let attempt = 1; ; attempt++) {
      const sentAt = performance.now();
      const round = ++this.#round;
      const result = await this.#vote(candidate, mode, round);
      if (result.status === 'won') return this.#grant(candidate, round, result.votes);
      if (result.status === 'ahead' && attempt < ROUNDS) {
        await pause((performance.now() - sentAt) * (0.5 + Math.random()));
        continue;
      }
      this.#withdraw(candidate, round);
      if (result.status === 'lost') {
        candidate.letPass.clear();
        candidate.splits = 0;
        return { status: 'refused', record: result.record };
      }
      for (const rival of result.rivals) candidate.letPass.add(rival);
      // Nobody tells of the end of a split vote.
      const remaining = Math.min(result.record.remaining, SPLIT * 2 ** candidate.splits++);
      return { status: 'refused', record: { ...result.record, remaining } };
    }
  }

  /**
   * The servers that may have given their vote to a holder; from now on no more are asked for it. `strays`: those on
   * which a request for it may yet be executed.
   */
  end(lease: LeaseRef): { readonly open: readonly Server[]; readonly strays: ReadonlySet<Server> } {
    const strays = this.#candidates.get(lease)?.strays ?? new Set();
    const unasked = this.#later.drop(lease.holder);
    return { open: this.#servers.all.filter((server) => !unasked.includes(server)), strays };
  }

  /** So much was reserved for a lease since. */
  reserved(lease: LeaseRef, block: TokenBlock): void {
    const granted = this.#candidates.get(lease)?.granted;
    if (granted) granted.last = lastOf(block);
  }

  /** What a server needs to know of a lease to give it its vote, where we know it. */
  grantOf(lease: LeaseRef): readonly [lease: string, last: number] {
    const granted = this.#candidates.get(lease)?.granted;
    return granted ? [granted.lease, granted.last] : ['', 0];
  }

  #candidateOf(claim: Claim): Candidate {
    let candidate = this.#candidates.get(claim);
    if (!candidate) {
      candidate = {
        claim,
        open: new Set(),
        strays: new Set(),
        letPass: new Set(),
        splits: 0,
        granted: undefined,
      };
      this.#candidates.set(claim, candidate);
    }
    return candidate;
  }

  async #vote(candidate: Candidate, mode: AcquireMode, round: number): Promise<Result> {
    const { claim, letPass } = candidate;
    const { size, quorum } = this.#servers;
    const unanswered = new Set<Server>();
    const ask = this.#request(candidate, mode, round, unanswered);
    const order = this.#servers.inOrderFor(claim.key);
    const late = order.splice(quorum);
    const sentAt = performance.now();
    let isAsked = false;
    const rest = {
      size: late.length,
      ask: (): Promise<Vote>[] => {
        isAsked = true;
        if (performance.now() - sentAt >= HEDGE) for (const server of unanswered) server.isLate = true;
        return late.map(ask);
      },
    };
    try {
      const result = await poll({
        first: order.map(ask),
        rest,
        patience: patienceFor(claim.ttl),
        decide: (tally) => count(tally, size, claim.holder, letPass),
      });
      if (result.status === 'won' && !isAsked) this.#later.ask(claim.holder, late, ask);
      return result;
    } catch (error) {
      this.#withdraw(candidate, round);
      throw error;
    }
  }

  #request(
    candidate: Candidate,
    mode: AcquireMode,
    round: number,
    unanswered: Set<Server>,
  ): (server: Server) => Promise<Vote> {
    const { claim, open, strays } = candidate;
    const { key, holder, ttl } = claim;
    const keys = [leaseKey(claim), tokenKey(claim), waitersKey(claim), givenBackKey(claim), givenBackKey(claim, round)];
    const proposed = Date.now() * 1000;
    const lease = textOf(claim, proposed, round);
    const args = [holder, ttl, lease, proposed, proposed + TOKENS - 1, mode, channelOf(key)];
    // Not an async function: each promise costs, and there are many.
    return (server) => {
      open.add(server);
      unanswered.add(server);
      return server.run(scripts.acquire, keys, args).then(
        (reply) => {
          unanswered.delete(server);
          server.isLate = false;
          const vote = toVote(reply as Reply, { fencingToken: proposed, tokens: TOKENS });
          if ('record' in vote) open.delete(server);
          return vote;
        },
        (error: unknown) => {
          unanswered.delete(server);
          if (mayHaveBeenExecuted(error)) strays.add(server);
          else open.delete(server);
          throw error;
        },
      );
    };
  }

  /** The grant with its token, once a quorum has reserved that. */
  async #grant(candidate: Candidate, round: number, votes: readonly TokenBlock[]): Promise<Granted> {
    const { claim } = candidate;
    const { block, isReserved } = agreed(votes, this.#servers.size);
    try {
      if (!isReserved && !(await raise(this.#servers, claim, block))) {
        throw new DriverUnavailableError(`Redlock: "${claim.key}" was lost while its token was raised.`, {
          sent: true,
        });
      }
    } catch (error) {
      this.#withdraw(candidate, round);
      throw error;
    }
    candidate.granted = { lease: textOf(claim, block.fencingToken, round), last: lastOf(block) };
    return { status: 'granted', ...block, ttl: claim.ttl, waiters: 0 };
  }

  /** Gives back what this round got, or may get yet, without waiting for it: a later request comes after it anyway. */
  #withdraw(candidate: Candidate, round: number): void {
    const { claim, open, strays } = candidate;
    this.#later.drop(claim.holder);
    const keys = [leaseKey(claim), waitersKey(claim), givenBackKey(claim, round)];
    for (const server of open) {
      const remember = strays.has(server) ? GIVEN_BACK_FOR : 0;
      const args = [claim.holder, round, remember, channelOf(claim.key)];
      server.run(scripts.release, keys, args).catch(() => undefined);
    }
  }
}

export function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => void setTimeout(resolve, milliseconds).unref());
}
