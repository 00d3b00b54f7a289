import { SystemClock } from '../../core/clock.js';
import { Deadlines } from '../../core/deadlines.js';
import { DriverUnavailableError, LockConfigError } from '../../core/errors.js';
import type { Timed } from '../../core/heap.js';

/** The smallest number of which any two sets out of `size` have one in common. */
export function quorumOf(size: number): number {
  return Math.floor(size / 2) + 1;
}

/** How long one server may take for its answer, in milliseconds: the others decide without it after that. */
export function patienceFor(ttl: number): number {
  return Math.min(400, Math.max(50, ttl / 20));
}

/** What has come back so far of a question that all were asked. */
export interface Tally<T> {
  readonly answers: readonly T[];
  readonly failures: readonly unknown[];
  readonly pending: number;
}

export interface Question<T, V> {
  /** Those who are asked at once. */
  readonly first: readonly Promise<T>[];
  /** Asks the others: when the first do not come to a verdict, or one fails, or after HEDGE milliseconds. */
  readonly rest?: { readonly size: number; ask(): readonly Promise<T>[] };
  /** Milliseconds; who has not answered by then has failed. */
  readonly patience: number;
  /** The verdict, or undefined while it is open, which it must not be once nothing is pending. */
  decide(tally: Tally<T>): V | undefined;
}

/** Longer than a healthy server takes for its answer, in milliseconds, and shorter than anybody minds. */
export const HEDGE = 2;

/** Resolves with the verdict as soon as there is one. Later answers and failures are heard, and have no effect. */
export function poll<T, V>(question: Question<T, V>): Promise<V> {
  return new Promise((resolve, reject) => new Poll(question, resolve, reject).begin());
}

interface Expiring extends Timed {
  expire(): void;
}

const clock = new SystemClock();
// Answers that came while this process was busy are read before it says that there were none.
const open = new Deadlines<Expiring>(clock, (each) => void setImmediate(() => each.expire()));

class Poll<T, V> implements Tally<T>, Expiring {
  place: number | undefined;
  deadline = 0;
  readonly answers: T[] = [];
  readonly failures: unknown[] = [];
  readonly #question: Question<T, V>;
  readonly #resolve: (verdict: V) => void;
  readonly #reject: (error: unknown) => void;
  #asked: number;
  #unasked: number;
  #isHedged = false;
  #isOpen = true;

  constructor(question: Question<T, V>, resolve: (verdict: V) => void, reject: (error: unknown) => void) {
    this.#question = question;
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
    this.#expireIn(this.#question.rest ? HEDGE : this.#question.patience);
    this.#listen(this.#question.first);
  }

  expire(): void {
    if (!this.#isOpen) return;
    const { patience, rest } = this.#question;
    if (rest && !this.#isHedged) {
      this.#isHedged = true;
      this.#expireIn(patience);
      if (this.#unasked > 0) this.#attempt(() => this.#askRest());
      return;
    }
    while (this.#answered < this.#asked) {
      this.failures.push(new DriverUnavailableError(`no answer within ${patience} ms`, { sent: true }));
    }
    this.#conclude();
  }

  #expireIn(milliseconds: number): void {
    const now = clock.now();
    this.deadline = now + milliseconds;
    open.add(this, now);
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
    open.remove(this);
  }
}

/** For questions that need no more than enough answers: those of the first quorum, or of the first `enough`. */
export function firstQuorum<T>(
  calls: readonly Promise<T>[],
  patience: number,
  enough = quorumOf(calls.length),
): Promise<readonly T[]> {
  return poll({
    first: calls,
    patience,
    decide(tally) {
      if (tally.answers.length >= enough) return tally.answers;
      if (tally.answers.length + tally.pending < enough) throw tooFew(tally, enough);
      return undefined;
    },
  });
}

/** Why a question has no answer: a mistake in the configuration only where it is the only reason. */
export function tooFew({ answers, failures, pending }: Tally<unknown>, needed?: number): Error {
  const [first] = failures;
  if (first instanceof LockConfigError && failures.every((failure) => failure instanceof LockConfigError)) return first;
  const size = answers.length + failures.length + pending;
  const reasons = new Set(failures.map((failure) => (failure instanceof Error ? failure.message : String(failure))));
  return new DriverUnavailableError(
    `Redlock: ${failures.length} of ${size} servers did not answer, ${needed ?? quorumOf(size)} must: ${[...reasons].join('; ')}`,
    { cause: first, sent: failures.some(mayHaveBeenExecuted) || answers.length > 0 },
  );
}

export function mayHaveBeenExecuted(error: unknown): boolean {
  return !(error instanceof LockConfigError || (error instanceof DriverUnavailableError && !error.sent));
}
