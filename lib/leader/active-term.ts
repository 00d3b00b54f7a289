import { setMaxListeners } from 'node:events';
import type { LockHandle } from '../locks/lock.js';
import type { Term } from './leadership.js';

/** `lost`: the lease was lost. `failed`: a callback threw. `left`: the instance leaves the election for good. */
export type EndKind = 'lost' | 'failed' | 'resigned' | 'left';

export interface TermEnd {
  readonly kind: EndKind;
  /** For logs and people. */
  readonly reason: string;
}

/** One leadership of this instance, from the grant of the lease until it is handed over or given up. */
export class ActiveTerm {
  readonly term: Term;
  readonly handle: LockHandle;
  /** By the monotonic clock, in milliseconds. */
  readonly since: number;
  /** Resolves when leading has ended. */
  readonly over: Promise<TermEnd>;
  /** Resolves when the lease was released or given up. */
  readonly handedOver: Promise<void>;
  /** Id of the instance that is to lead next. */
  successor: string | undefined;
  readonly #controller = new AbortController();
  #end!: (end: TermEnd) => void;
  #settle!: () => void;

  constructor(election: string, handle: LockHandle, since: number) {
    // Leader work may listen without limit. Node.js would warn of a leak from 11 listeners on.
    setMaxListeners(0, this.#controller.signal);
    this.handle = handle;
    this.since = since;
    this.term = { number: handle.fencingToken, election, signal: this.#controller.signal };
    this.over = new Promise((resolve) => (this.#end = resolve));
    this.handedOver = new Promise((resolve) => (this.#settle = resolve));
  }

  /** @param cause the reason of the term's signal */
  end(end: TermEnd, cause: unknown): void {
    this.#controller.abort(cause);
    this.#end(end);
  }

  settle(): void {
    this.#settle();
  }
}
