import { DriverUnavailableError } from '../../core/errors.js';
import type { AcquireMode, Claim, Granted, LeaseRef, Refused, TokenBlock } from '../../core/lock-driver.js';
import { ScriptCall } from '../redis/commands/script-call.js';
import { count, mayBeGrantedBefore, type Result } from './ballot.js';
import { release, type Votes } from './give-back.js';
import { LaterVotes } from './later-votes.js';
import { bucketOf, givenBackKey, leaseKey, marksKey, textOf, waitersKey } from './lease-text.js';
import { HEDGE, patienceFor, poll } from './quorum.js';
import { ClaimState, NOBODY, Renewal, Round } from './rounds.js';
import { scripts } from './scripts/scripts.generated.js';
import type { ServerSet } from './server-set.js';
import { agreed, lastOf, raise } from './tokens.js';

/** How often one who is ahead in a split vote asks again for the votes that the others give back. */
const ROUNDS = 8;
/** What a split vote is worth waiting for, in milliseconds, before it is asked again: so much at first, then twice. */
const SPLIT = 10;

/**
 * How a claim comes to a lease. A quorum of servers is asked at once, and the others as soon as those do not suffice;
 * when they do, the others get to know it a moment later, unless the lease was given back by then.
 */
export class QuorumAcquire {
  readonly #servers: ServerSet;
  /** By the objects that the core uses for a claim all the time. */
  readonly #candidates = new WeakMap<LeaseRef, ClaimState>();
  readonly #later = new LaterVotes();
  #round = 0;

  constructor(servers: ServerSet) {
    this.#servers = servers;
  }

  async run(claim: Claim, mode: AcquireMode): Promise<Granted | Refused> {
    const candidate = this.#candidateOf(claim);
    for (let attempt = 1; ; attempt++) {
      const sentAt = performance.now();
      const round = new Round(candidate, mode, ++this.#round, this.#servers.proposals.next());
      let result: Result;
      try {
        result = await this.#vote(candidate, round, sentAt);
        if (result.status === 'won') {
          const { block, isReserved } = agreed(result.votes, this.#servers.size);
          if (!isReserved) await this.#raise(claim, block);
          return this.#grant(candidate, round, block);
        }
      } catch (error) {
        this.#withdraw(candidate, round);
        throw error;
      }
      if (result.status === 'ahead' && attempt < ROUNDS) {
        await pause((performance.now() - sentAt) * (0.5 + Math.random()));
        continue;
      }
      this.#withdraw(candidate, round);
      if (result.status === 'lost') {
        candidate.letPass = NOBODY;
        candidate.splits = 0;
        return { status: 'refused', record: result.record };
      }
      candidate.letPass = new Set([...candidate.letPass, ...result.rivals]);
      // Nobody tells of the end of a split vote.
      const remaining = Math.min(result.record.remaining, SPLIT * 2 ** candidate.splits++);
      return { status: 'refused', record: { ...result.record, remaining } };
    }
  }

  /** Where a lease may be; from now on no more servers are asked for it. */
  end(lease: LeaseRef): Votes {
    const { all } = this.#servers;
    const candidate = this.#candidates.get(lease);
    if (!candidate) {
      this.#later.dropHolder(lease.holder);
      return { open: all, unasked: [], late: 0 };
    }
    const { won, late } = candidate;
    if (won && this.#later.drop(won)) return { open: won.asked, unasked: won.unasked, late };
    return { open: all, unasked: [], late };
  }

  /** Asks all servers to re-arm the TTL of leases; those that are free give them their vote, where we know the grant. */
  renew(leases: readonly LeaseRef[]): Promise<number[]>[] {
    const candidates: ClaimState[] = [];
    const grants = leases.map((lease) => {
      const candidate = this.#candidates.get(lease);
      if (!candidate?.won) return ['', bucketOf(lease), 0] as const;
      this.#later.drop(candidate.won);
      candidates.push(candidate);
      const text = textOf(candidate.claim, candidate.token, candidate.won.number);
      return [text, bucketOf(lease), candidate.lastToken] as const;
    });
    const keys = leases.flatMap((lease) => [leaseKey(lease), waitersKey(lease), marksKey(lease), givenBackKey(lease)]);
    const args = leases.flatMap((lease, index) => [lease.holder, lease.ttl, ...grants[index]!]);
    const renewal = new Renewal(candidates, new ScriptCall(scripts.renew, keys, args));
    return this.#servers.all.map((server) => renewal.ask(server));
  }

  /** So much was reserved for a lease since. */
  reserved(lease: LeaseRef, block: TokenBlock): void {
    const candidate = this.#candidates.get(lease);
    if (candidate) candidate.lastToken = lastOf(block);
  }

  #candidateOf(claim: Claim): ClaimState {
    let candidate = this.#candidates.get(claim);
    if (!candidate) this.#candidates.set(claim, (candidate = new ClaimState(claim)));
    return candidate;
  }

  async #vote(candidate: ClaimState, round: Round, sentAt: number): Promise<Result> {
    const { claim, letPass, won } = candidate;
    const { size } = this.#servers;
    // What it got in an earlier round of a split vote was no grant.
    const isRepeated = won !== undefined || candidate.open === 0;
    if (won) this.#later.drop(won);
    const { quorum, rest } = this.#servers.orderFor(claim.key);
    let isAsked = false;
    const result = await poll({
      first: quorum.map((server) => round.ask(server)),
      rest: {
        size: rest.length,
        ask: () => {
          isAsked = true;
          if (performance.now() - sentAt >= HEDGE) {
            for (const server of quorum) if (round.unanswered & server.bit) server.isLate = true;
          }
          return rest.map((server) => round.ask(server));
        },
      },
      patience: patienceFor(claim.ttl),
      decide: (tally) =>
        isRepeated && mayBeGrantedBefore(tally, size) ? undefined : count(tally, size, claim.holder, letPass),
    });
    // An earlier round may have asked them.
    const isUnasked = !isAsked && rest.every(({ bit }) => !(candidate.open & bit));
    if (result.status === 'won' && isUnasked) {
      round.asked = quorum;
      round.unasked = rest;
      this.#later.add(round);
    }
    return result;
  }

  /** @throws DriverUnavailableError when the lease was lost, or may have been */
  async #raise(claim: Claim, block: TokenBlock): Promise<void> {
    if (await raise(this.#servers, claim, block)) return;
    throw new DriverUnavailableError(`Redlock: "${claim.key}" was lost while its token was raised.`, { sent: true });
  }

  #grant(candidate: ClaimState, round: Round, block: TokenBlock): Granted {
    const { fencingToken, tokens } = block;
    candidate.won = round;
    candidate.token = fencingToken;
    candidate.lastToken = lastOf(block);
    return { status: 'granted', fencingToken, tokens, ttl: candidate.claim.ttl, waiters: 0 };
  }

  /** Gives back what this round got, or may get yet, without waiting for it: a later request comes after it anyway. */
  #withdraw(candidate: ClaimState, round: Round): void {
    const { claim, open, late } = candidate;
    this.#later.drop(round);
    for (const server of this.#servers.all) {
      if (!(open & server.bit)) continue;
      server.send(release(claim, (late & server.bit) !== 0, round.number)).catch(() => undefined);
    }
  }
}

export function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => void setTimeout(resolve, milliseconds).unref());
}
