import type { Clock } from '../../core/clock.js';
import { Deadlines } from '../../core/deadlines.js';
import { DriverUnavailableError } from '../../core/errors.js';
import type { Timed } from '../../core/heap.js';
import { quorumOf, type Tally, tooFew } from './quorum.js';

export interface Question<T, V> {
  /** The calls to the servers that are asked at once. */
  readonly first: readonly Promise<T>[];
  /** Asks the other servers: when the first come to no verdict, when one of them fails, or after HEDGE milliseconds. */
  readonly rest?: { readonly size: number; ask(): readonly Promise<T>[] };
  /** Milliseconds. A server that has not answered by then has failed. */
  readonly timeout: number;
  /** The verdict; undefined while it is open. It must not be open once nothing is pending. */
  decide(tally: Tally<T>): V | undefined;
}

/** Milliseconds: longer than a healthy server takes for its answer, and too short to be noticed. */
export const HEDGE = 2;

interface Expiring extends Timed {
  expire(): void;
}

/** The questions of one driver to its servers. All of them share one timer. */
export class Polls {
  readonly #clock: Clock;
  readonly #open: Deadlines<Expiring>;

  constructor(clock: Clock) {
    this.#clock = clock;
    // setImmediate: answers that came while this process was busy are read first, and count.
    this.#open = new Deadlines<Expiring>(clock, (each) => void setImmediate(() => each.expire()));
  }

  /** Resolves with the verdict as soon as there is one. Later answers and failures have no effect. */
  ask<T, V>(question: Question<T, V>): Promise<V> {
    return new Promise((resolve, reject) => {
      new Poll(question, this.#clock, this.#open, resolve, reject).begin();
    });
  }

  /** Resolves with the first answers as soon as there are `enough`; by default a quorum of the calls. */
  firstQuorum<T>(
    calls: readonly Promise<T>[],
    timeout: number,
    enough = quorumOf(calls.length),
  ): Promise<readonly T[]> {
    return this.ask({
      first: calls,
      timeout,
      decide(tally) {
        if (tally.answers.length >= enough) return tally.answers;
        if (tally.answers.length + tally.pending < enough) throw tooFew(tally, enough);
        return undefined;
      },
    });
  }
}

/**
 * One question:
 *
 * 1. Ask the first servers.
 * 2. Ask the rest: after HEDGE milliseconds, after a failure, or when all of the first have answered without a verdict.
 * 3. A server that has not answered after the timeout has failed. With a rest, the timeout begins when HEDGE is over.
 * 4. Each answer and each failure may bring the verdict. It ends the question.
 */
class Poll<T, V> implements Tally<T>, Expiring {
  place: number | undefined;
  deadline = 0;
  readonly answers: T[] = [];
  readonly failures: unknown[] = [];
  readonly #question: Question<T, V>;
  readonly #clock: Clock;
  readonly #open: Deadlines<Expiring>;
  readonly #resolve: (verdict: V) => void;
  readonly #reject: (error: unknown) => void;
  #asked: number;
  #unasked: number;
  #isHedged = false;
  #isOpen = true;

  constructor(
    question: Question<T, V>,
    clock: Clock,
    open: Deadlines<Expiring>,
    resolve: (verdict: V) => void,
    reject: (error: unknown) => void,
  ) {
    this.#question = question;
    this.#clock = clock;
    this.#open = open;
    this.#resolve = resolve;
    this.#reject = reject;
    this.#asked = question.first.length;
    this.#unasked = question.rest?.size ?? 0;
  }

  get pending(): number {
    return this.#asked + this.#unasked - this.#answered;
  }

  get #answered(): number {
    return this.answers.length + this.failures.length;
  }

  begin(): void {
    this.#expireIn(this.#question.rest ? HEDGE : this.#question.timeout);
    this.#listen(this.#question.first);
  }

  expire(): void {
    if (!this.#isOpen) return;
    const { timeout, rest } = this.#question;
    if (rest && !this.#isHedged) {
      this.#isHedged = true;
      this.#expireIn(timeout);
      if (this.#unasked > 0) this.#attempt(() => this.#askRest());
      return;
    }
    while (this.#answered < this.#asked) {
      this.failures.push(new DriverUnavailableError(`no answer within ${timeout} ms`, { sent: true }));
    }
    this.#conclude();
  }

  #expireIn(milliseconds: number): void {
    const now = this.#clock.now();
    this.deadline = now + milliseconds;
    this.#open.add(this, now);
  }

  #listen(calls: readonly Promise<T>[]): void {
    const answered = (answer: T): void => {
      if (!this.#isOpen) return;
      this.answers.push(answer);
      this.#conclude();
    };
    const failed = (error: unknown): void => {
      if (!this.#isOpen) return;
      this.failures.push(error);
      this.#conclude();
    };
    for (const call of calls) void call.then(answered, failed);
  }

  #askRest(): void {
    this.#asked += this.#unasked;
    this.#unasked = 0;
    this.#listen(this.#question.rest!.ask());
  }

  #conclude(): void {
    this.#attempt(() => {
      const verdict = this.#question.decide(this);
      if (verdict !== undefined) {
        this.#close();
        this.#resolve(verdict);
      } else if (this.#unasked > 0 && (this.#answered === this.#asked || this.failures.length > 0)) {
        this.#askRest();
      }
    });
  }

  #attempt(step: () => void): void {
    try {
      step();
    } catch (error) {
      this.#close();
      this.#reject(error);
    }
  }

  #close(): void {
    this.#isOpen = false;
    this.#open.remove(this);
  }
}
