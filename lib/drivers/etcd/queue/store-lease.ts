import type { KeptAlive } from '../client/keep-alives.js';

/**
 * A lease of etcd. Until `until` it exists for sure, unless somebody revokes it (S1):
 *
 * 1. Its TTL runs from the sending of its grant, or of the last keep-alive that counts.
 * 2. A leader that was replaced and does not know it still answers keep-alives for up to an election timeout, and longer
 *    while it is stuck (etcd-io/etcd#15247). The lease runs out at its successor. So an answer alone proves nothing.
 * 3. A keep-alive counts once a linearizable request that was sent after its answer is answered in the same Raft term. The
 *    leader that answered the keep-alive then still had a quorum.
 */
export class StoreLease {
  readonly id: number;
  /** Milliseconds as granted: never less than requested. */
  readonly ttl: number;
  /** The time at which the lease was put into the pool last. */
  usedAt: number;
  #anchor: number;
  #unproven: { readonly anchor: number; readonly term: number } | undefined;

  constructor(id: number, ttl: number, anchor: number) {
    this.id = id;
    this.ttl = ttl;
    this.usedAt = anchor;
    this.#anchor = anchor;
  }

  /** In the time of this process. */
  get until(): number {
    return this.#anchor + this.ttl;
  }

  /** A keep-alive that was sent at `anchor` was answered. False when the lease is gone. */
  keptAlive(anchor: number, { ttl, term }: KeptAlive): boolean {
    if (ttl === 0) return false;
    this.#unproven = { anchor, term };
    return true;
  }

  /**
   * To be called before a linearizable request is sent. The returned function is to be called with the term of the
   * answer. It returns true when the last keep-alive counts.
   */
  prover(): (term: number) => boolean {
    const claim = this.#unproven;
    return (term) => {
      if (!claim) return true;
      if (claim.term !== term) return false;
      this.#anchor = Math.max(this.#anchor, claim.anchor);
      return true;
    };
  }

  /** The time at which the last answered keep-alive was sent. It may still have to be proven. */
  get refreshedAt(): number {
    return this.#unproven?.anchor ?? this.#anchor;
  }
}

/** etcd counts in whole seconds. It may grant more than requested. */
export function secondsOf(ttl: number): number {
  return Math.max(1, Math.ceil(ttl / 1000));
}
