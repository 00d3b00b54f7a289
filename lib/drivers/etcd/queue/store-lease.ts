import type { KeptAlive } from '../client/keep-alives.js';

/**
 * A lease of the store. Its TTL runs from the sending of its grant, or of the last keep-alive that counts.
 *
 * A leader that was replaced and does not know it yet answers keep-alives for up to an election timeout, while the
 * lease runs out elsewhere. So a keep-alive counts only once a linearizable request, sent after its answer, was
 * answered in the same Raft term: that leader then still had a quorum.
 */
export class StoreLease {
  readonly id: number;
  /** Milliseconds, as granted: at least what was asked for. */
  readonly ttl: number;
  usedAt: number;
  #anchor: number;
  #unproven: { readonly anchor: number; readonly term: number } | undefined;

  constructor(id: number, ttl: number, anchor: number) {
    this.id = id;
    this.ttl = ttl;
    this.usedAt = anchor;
    this.#anchor = anchor;
  }

  /** Local time up to which it exists for sure, unless somebody revokes it. */
  get until(): number {
    return this.#anchor + this.ttl;
  }

  /** Takes an answered keep-alive into account that was sent at `anchor`. False when the lease is gone. */
  keptAlive(anchor: number, { ttl, term }: KeptAlive): boolean {
    if (ttl === 0) return false;
    this.#unproven = { anchor, term };
    return true;
  }

  /** To be called before a linearizable request is sent; what it returns, with the term of the answer. */
  prover(): (term: number) => boolean {
    const claim = this.#unproven;
    return (term) => {
      if (!claim) return true;
      if (claim.term !== term) return false;
      this.#anchor = Math.max(this.#anchor, claim.anchor);
      return true;
    };
  }

  /** When the last keep-alive was sent that was answered, whether or not it counts yet. */
  get refreshedAt(): number {
    return this.#unproven?.anchor ?? this.#anchor;
  }
}

/** etcd counts in seconds, and may grant more than it was asked for. */
export function secondsOf(ttl: number): number {
  return Math.max(1, Math.ceil(ttl / 1000));
}
