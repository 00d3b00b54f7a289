import type { AcquireMode, Claim, TokenBlock } from '../../core/lock-driver.js';
import { ScriptCall } from '../redis/script-call.js';
import { type Reply, toVote, type Vote } from './ballot.js';
import type { LaterVote } from './later-votes.js';
import { channelOf, givenBackKey, leaseKey, textOf, tokenKey, waitersKey } from './lease-text.js';
import { mayHaveBeenExecuted } from './quorum.js';
import { scripts } from './scripts/scripts.generated.js';
import type { Server } from './server.js';
import { lastOf } from './tokens.js';

export const NOBODY: ReadonlySet<string> = new Set();

/** What is known of a claim from its requests so far. Sets of servers are the bits of a number. */
export class Candidate {
  readonly claim: Claim;
  /** Servers that may have given it their vote. */
  open = 0;
  /** Servers on which an earlier request may yet be executed. */
  strays = 0;
  /** Rivals in a split vote that were let pass. */
  letPass = NOBODY;
  splits = 0;
  /** The round that was won; there may be servers that were not needed for it. */
  won: Round | undefined;
  /** The token it was granted with, and the largest that was reserved for it since. */
  token = 0;
  lastToken = 0;

  constructor(claim: Claim) {
    this.claim = claim;
  }
}

/** One request of a candidate for the votes of the servers. */
export class Round implements LaterVote {
  before: LaterVote | undefined;
  after: LaterVote | undefined;
  /** Those that sufficed, and those that were not needed. */
  asked: readonly Server[] = [];
  unasked: readonly Server[] = [];
  readonly number: number;
  /** Servers that have not answered. */
  unanswered = 0;
  readonly #candidate: Candidate;
  readonly #call: ScriptCall;
  readonly #proposed: TokenBlock;

  constructor(candidate: Candidate, mode: AcquireMode, number: number, proposed: TokenBlock) {
    const { claim } = candidate;
    const { key, holder, ttl } = claim;
    this.number = number;
    this.#candidate = candidate;
    this.#proposed = proposed;
    const token = String(proposed.fencingToken);
    const keys = [
      leaseKey(claim),
      tokenKey(claim),
      waitersKey(claim),
      givenBackKey(claim),
      givenBackKey(claim, number),
    ];
    const lease = textOf(claim, token, number);
    const args = [holder, ttl, lease, token, lastOf(proposed), mode === 'queue' ? channelOf(key) : ''];
    this.#call = new ScriptCall(scripts.acquire, keys, args);
  }

  // Not an async function: each promise costs, and there are many.
  ask(server: Server): Promise<Vote> {
    const { bit } = server;
    const candidate = this.#candidate;
    candidate.open |= bit;
    this.unanswered |= bit;
    return server.send(this.#call).then(
      (reply) => {
        this.unanswered &= ~bit;
        server.isLate = false;
        const vote = toVote(reply as Reply, this.#proposed);
        if ('record' in vote) candidate.open &= ~bit;
        return vote;
      },
      (error: unknown) => {
        this.unanswered &= ~bit;
        if (mayHaveBeenExecuted(error)) candidate.strays |= bit;
        else candidate.open &= ~bit;
        throw error;
      },
    );
  }
}
