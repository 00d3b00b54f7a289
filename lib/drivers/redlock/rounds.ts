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

/** Something that was sent to servers. Sets of servers are the bits of a number. */
interface Request {
  readonly unanswered: number;
}

/** What is known of a claim from its requests so far. */
export class ClaimState {
  readonly claim: Claim;
  /** Servers that may have given it their vote. */
  open = 0;
  /** Rivals in a split vote that were let pass. */
  letPass = NOBODY;
  splits = 0;
  /** The round that was won; there may be servers that were not needed for it. */
  won: Round | undefined;
  /** The token it was granted with, and the largest that was reserved for it since. */
  token = 0;
  lastToken = 0;
  #latest: Request | undefined;
  #strays = 0;

  constructor(claim: Claim) {
    this.claim = claim;
  }

  /**
   * Servers on which a request may yet be executed, also after what is sent to them now: a server may have to be sent a
   * script first, or read an old connection last.
   */
  get late(): number {
    return this.#strays | (this.#latest?.unanswered ?? 0);
  }

  begin(request: Request): void {
    this.#strays = this.late;
    this.#latest = request;
  }

  /** A request failed at a server, and may have been executed there, or be executed yet. */
  failed(bit: number): void {
    this.#strays |= bit;
  }

  /** A server has given it no vote, as far as the latest request tells. */
  close(bit: number): void {
    if (!(this.#strays & bit)) this.open &= ~bit;
  }
}

/** One request of a candidate for the votes of the servers. */
export class Round implements Linked<Round> {
  before: Round | undefined;
  after: Round | undefined;
  /** Those that sufficed, and those that were not needed. */
  asked: readonly Server[] = [];
  unasked: readonly Server[] = [];
  readonly number: number;
  /** Servers that have not answered. */
  unanswered = 0;
  readonly candidate: ClaimState;
  readonly #call: ScriptCall;
  readonly #proposed: TokenBlock;

  constructor(candidate: ClaimState, mode: AcquireMode, number: number, proposed: TokenBlock) {
    const { claim } = candidate;
    const { key, holder, ttl } = claim;
    this.number = number;
    this.candidate = candidate;
    candidate.begin(this);
    this.#proposed = proposed;
    const keys = [leaseKey(claim), marksKey(claim), waitersKey(claim), givenBackKey(claim)];
    const block = [bucketOf(claim), proposed.fencingToken, lastOf(proposed)];
    const args = [holder, ttl, number, tailOf(claim), ...block, mode === 'queue' ? channelOf(key) : ''];
    this.#call = new ScriptCall(scripts.acquire, keys, args);
  }

  // Not an async function: each promise costs, and there are many.
  ask(server: Server): Promise<Vote> {
    const { bit } = server;
    const { candidate } = this;
    candidate.open |= bit;
    this.unanswered |= bit;
    return server.send(this.#call).then(
      (reply) => {
        this.unanswered &= ~bit;
        server.isLate = false;
        const vote = toVote(reply as Reply, this.#proposed);
        if ('record' in vote) candidate.close(bit);
        else candidate.open |= bit;
        return vote;
      },
      (error: unknown) => {
        this.unanswered &= ~bit;
        if (mayHaveBeenExecuted(error)) candidate.failed(bit);
        else candidate.close(bit);
        throw error;
      },
    );
  }
}

/** One renewal of many leases. A server that is free gives them its vote. */
export class Renewal {
  unanswered = 0;
  readonly #candidates: readonly ClaimState[];
  readonly #call: ScriptCall;

  constructor(candidates: readonly ClaimState[], call: ScriptCall) {
    this.#candidates = candidates;
    this.#call = call;
    for (const candidate of candidates) candidate.begin(this);
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
        if (mayHaveBeenExecuted(error)) for (const candidate of this.#candidates) candidate.failed(bit);
        throw error;
      },
    );
  }
}
