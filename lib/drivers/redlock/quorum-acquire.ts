import type { Clock, Random } from '../../core/clock.js';
import { DriverUnavailableError } from '../../core/errors.js';
import type { AcquireMode, Claim, Granted, LeaseRef, Refused, TokenBlock } from '../../core/lock-driver.js';
import { pause } from '../../core/pause.js';
import { ScriptCall } from '../redis/commands/script-call.js';
import { count, mayBeGrantedBefore, type Result } from './ballot.js';
import { release, type Votes } from './give-back.js';
import { LaterVotes } from './later-votes.js';
import { bucketOf, givenBackKey, leaseKey, marksKey, textOf, waitersKey } from './lease-text.js';
import { HEDGE } from './polls.js';
import { timeoutOf } from './quorum.js';
import { ClaimState, NOBODY, Renewal, Round } from './rounds.js';
import { scripts } from './scripts/scripts.generated.js';
import type { ServerSet } from './server-set.js';
import { agreed, lastOf, raise } from './tokens.js';

/** Rounds in which a claim that is ahead in a split vote asks for the votes that the others give back. */
const ROUNDS = 8;
/** Milliseconds until a claim that is behind in a split vote asks again: at first. Each further split doubles them. */
const SPLIT = 10;

/**
 * The way of a claim to its lease. A quorum of servers is asked at once, and the others as soon as those do not suffice.
 * Servers that were not needed are asked a moment later, unless the lease was given back by then.
 *
 * Not covered:
 * - an order of arrival: of two claims the later one may win.
 * - a server that loses its data within the TTL of a lease: it can then vote twice.
 */
export class QuorumAcquire {
  readonly #servers: ServerSet;
  readonly #clock: Clock;
  readonly #random: Random;
  /** The core uses one object for all calls of a claim. */
  readonly #states = new WeakMap<LeaseRef, ClaimState>();
  readonly #later: LaterVotes;
  #round = 0;

  constructor(servers: ServerSet, clock: Clock, random: Random) {
    this.#servers = servers;
    this.#clock = clock;
    this.#random = random;
    this.#later = new LaterVotes(clock);
  }

  /**
   * 1. Ask for votes.
   * 2. A quorum of votes: make sure that its tokens are reserved, and grant.
   * 3. A split vote, and this claim is ahead: ask again for the votes that the others give back.
   * 4. Otherwise give the votes back, and refuse.
   */
  async run(claim: Claim, mode: AcquireMode): Promise<Granted | Refused> {
    const state = this.#stateOf(claim);
    state.since ||= this.#clock.wall() * 1000;
    for (let attempt = 1; ; attempt++) {
      const sentAt = this.#clock.now();
      const round = new Round(state, mode, ++this.#round, this.#servers.proposals.next());
      let result: Result;
      try {
        result = await this.#vote(state, round, sentAt);
        if (result.status === 'won') {
          const { block, isReserved } = agreed(result.votes, this.#servers.size);
          if (!isReserved) await this.#raise(claim, block);
          return this.#grant(state, round, block);
        }
      } catch (error) {
        this.#withdraw(state, round);
        throw error;
      }
      if (result.status === 'ahead' && attempt < ROUNDS) {
        // The limit is for a process that was suspended meanwhile.
        const took = Math.min(this.#clock.now() - sentAt, HEDGE + timeoutOf(claim.ttl));
        await pause(this.#clock, took * (0.5 + this.#random()));
        continue;
      }
      this.#withdraw(state, round);
      if (result.status === 'lost') {
        state.letPass = NOBODY;
        state.splits = 0;
        return { status: 'refused', record: result.record };
      }
      state.letPass = new Set([...state.letPass, ...result.rivals]);
      // Nobody announces the end of a split vote, so the claim has to ask again soon.
      const remaining = Math.min(result.record.remaining, SPLIT * 2 ** state.splits++);
      return { status: 'refused', record: { ...result.record, remaining } };
    }
  }

  /** The servers on which a lease may be. From now on no more servers are asked for it. */
  end(lease: LeaseRef): Votes {
    const { all } = this.#servers;
    const state = this.#states.get(lease);
    if (!state) {
      this.#later.dropHolder(lease.holder);
      return { open: all, unasked: [], late: 0 };
    }
    const { won, late } = state;
    if (won && this.#later.drop(won)) return { open: won.asked, unasked: won.unasked, late };
    return { open: all, unasked: [], late };
  }

  /** Asks all servers to re-arm the TTL of leases. A free server gives its vote where this driver knows the grant. */
  renew(leases: readonly LeaseRef[]): Promise<number[]>[] {
    const states: ClaimState[] = [];
    const grants = leases.map((lease) => {
      const state = this.#states.get(lease);
      if (!state?.won) return ['', bucketOf(lease), 0] as const;
      this.#later.drop(state.won);
      states.push(state);
      const text = textOf(state.claim, state.token, state.won.number, state.won.since);
      return [text, bucketOf(lease), state.lastToken] as const;
    });
    const keys = leases.flatMap((lease) => [leaseKey(lease), waitersKey(lease), marksKey(lease), givenBackKey(lease)]);
    const args = leases.flatMap((lease, index) => [lease.holder, lease.ttl, ...grants[index]!]);
    const renewal = new Renewal(states, new ScriptCall(scripts.renew, keys, args));
    return this.#servers.all.map((server) => renewal.ask(server));
  }

  /** A further block was reserved for a lease. */
  reserved(lease: LeaseRef, block: TokenBlock): void {
    const state = this.#states.get(lease);
    if (state) state.lastToken = lastOf(block);
  }

  #stateOf(claim: Claim): ClaimState {
    let state = this.#states.get(claim);
    if (!state) this.#states.set(claim, (state = new ClaimState(claim)));
    return state;
  }

  async #vote(state: ClaimState, round: Round, sentAt: number): Promise<Result> {
    const { claim, letPass, won } = state;
    const { size } = this.#servers;
    // Votes that it got in an earlier round of a split vote were no grant.
    const isRepeated = won !== undefined || state.open === 0;
    if (won) this.#later.drop(won);
    const { quorum, rest } = this.#servers.orderFor(claim.key);
    let isAsked = false;
    const result = await this.#servers.polls.ask({
      first: quorum.map((server) => round.ask(server)),
      rest: {
        size: rest.length,
        ask: () => {
          isAsked = true;
          if (this.#clock.now() - sentAt >= HEDGE) {
            for (const server of quorum) if (round.unanswered & server.bit) server.isLate = true;
          }
          return rest.map((server) => round.ask(server));
        },
      },
      timeout: timeoutOf(claim.ttl),
      decide: (tally) =>
        isRepeated && mayBeGrantedBefore(tally, size) ? undefined : count(tally, size, claim.holder, letPass),
    });
    // An earlier round may have asked the rest.
    const isUnasked = !isAsked && rest.every(({ bit }) => !(state.open & bit));
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

  #grant(state: ClaimState, round: Round, block: TokenBlock): Granted {
    const { fencingToken, tokens } = block;
    state.won = round;
    state.token = fencingToken;
    state.lastToken = lastOf(block);
    return { status: 'granted', fencingToken, tokens, ttl: state.claim.ttl, waiters: 0 };
  }

  /**
   * Gives back the votes that this round got, or may still get. A later request comes after it, so nobody waits for
   * it.
   */
  #withdraw(state: ClaimState, round: Round): void {
    const { claim, open, late } = state;
    state.since = 0;
    this.#later.drop(round);
    for (const server of this.#servers.all) {
      if (!(open & server.bit)) continue;
      server.send(release(claim, (late & server.bit) !== 0, round.number)).catch(() => undefined);
    }
  }
}
