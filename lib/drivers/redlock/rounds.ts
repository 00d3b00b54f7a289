import type { Linked } from '../../core/linked-list.js';
import type { AcquireMode, Claim, TokenBlock } from '../../core/lock-driver.js';
import { ScriptCall } from '../redis/commands/script-call.js';
import { tailOf } from '../redis/lease-format.js';
import { type Reply, toVote, type Vote } from './ballot.js';
import { bucketOf, channelOf, givenBackKey, leaseKey, marksKey, waitersKey } from './lease-text.js';
import { mayHaveBeenExecuted } from './quorum.js';
import { scripts } from './scripts/scripts.generated.js';
import type { Server } from './server.js';
import { lastOf } from './tokens.js';

export const NOBODY: ReadonlySet<string> = new Set();

/** A question that was sent to servers. Sets of servers are the bits of a number. */
interface Request {
  readonly unanswered: number;
}

/** The state of a claim, as far as its requests so far show it. */
export class ClaimState {
  readonly claim: Claim;
  /** Servers that may have given the claim their vote. */
  open = 0;
  /** Rivals in a split vote that were let pass. */
  letPass = NOBODY;
  splits = 0;
  /**
   * When the lease begins if the claim gets it: microseconds since 1970, by the clock of this process. All servers and
   * rounds get one number, until votes are given back. Zero: the next request sets it.
   */
  since = 0;
  /** The round that was won. Some servers may not have been needed for it. */
  won: Round | undefined;
  /** The token of the grant, and the largest token that was reserved since. */
  token = 0;
  lastToken = 0;
  #latest: Request | undefined;
  #strays = 0;

  constructor(claim: Claim) {
    this.claim = claim;
  }

  /**
   * Servers on which an earlier request may be executed later than a request of now: a server may first have to be sent
   * a script, or may read an old connection last.
   */
  get late(): number {
    return this.#strays | (this.#latest?.unanswered ?? 0);
  }

  begin(request: Request): void {
    this.#strays = this.late;
    this.#latest = request;
  }

  /** A request failed at a server. It may have been executed there, or may still be executed. */
  failed(bit: number): void {
    this.#strays |= bit;
  }

  /** A server has given the claim no vote, by its answer to the latest request. */
  close(bit: number): void {
    if (!(this.#strays & bit)) this.open &= ~bit;
  }
}

/** One request of a claim for the votes of the servers. */
export class Round implements Linked<Round> {
  before: Round | undefined;
  after: Round | undefined;
  /** The servers that sufficed, and those that were not needed. */
  asked: readonly Server[] = [];
  unasked: readonly Server[] = [];
  readonly number: number;
  readonly since: number;
  /** Servers that have not answered. */
  unanswered = 0;
  readonly state: ClaimState;
  readonly #call: ScriptCall;
  readonly #proposed: TokenBlock;

  constructor(state: ClaimState, mode: AcquireMode, number: number, proposed: TokenBlock) {
    const { claim } = state;
    const { key, holder, ttl } = claim;
    this.number = number;
    this.since = state.since;
    this.state = state;
    state.begin(this);
    this.#proposed = proposed;
    const keys = [leaseKey(claim), marksKey(claim), waitersKey(claim), givenBackKey(claim)];
    const block = [bucketOf(claim), proposed.fencingToken, lastOf(proposed)];
    const args = [holder, ttl, number, this.since, tailOf(claim), ...block, mode === 'queue' ? channelOf(key) : ''];
    this.#call = new ScriptCall(scripts.acquire, keys, args);
  }

  // No async function: that would cost one more promise for each server and grant.
  ask(server: Server): Promise<Vote> {
    const { bit } = server;
    const { state } = this;
    state.open |= bit;
    this.unanswered |= bit;
    return server.send(this.#call).then(
      (reply) => {
        this.unanswered &= ~bit;
        server.isLate = false;
        const vote = toVote(reply as Reply, this.#proposed);
        if ('record' in vote) state.close(bit);
        else state.open |= bit;
        return vote;
      },
      (error: unknown) => {
        this.unanswered &= ~bit;
        if (mayHaveBeenExecuted(error)) state.failed(bit);
        else state.close(bit);
        throw error;
      },
    );
  }
}

/** One renewal of many leases. A server that has given its vote to nobody gives it to the holder. */
export class Renewal {
  unanswered = 0;
  readonly #states: readonly ClaimState[];
  readonly #call: ScriptCall;

  constructor(states: readonly ClaimState[], call: ScriptCall) {
    this.#states = states;
    this.#call = call;
    for (const state of states) state.begin(this);
  }

  ask(server: Server): Promise<number[]> {
    const { bit } = server;
    this.unanswered |= bit;
    return server.send(this.#call).then(
      (reply) => {
        this.unanswered &= ~bit;
        return reply as number[];
      },
      (error: unknown) => {
        this.unanswered &= ~bit;
        if (mayHaveBeenExecuted(error)) for (const state of this.#states) state.failed(bit);
        throw error;
      },
    );
  }
}
