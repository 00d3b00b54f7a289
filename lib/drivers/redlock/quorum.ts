import { detached } from '../../core/call-chain.js';
import { DriverUnavailableError, LockConfigError } from '../../core/errors.js';

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
export function poll<T, V>({ first, rest, patience, decide }: Question<T, V>): Promise<V> {
  return new Promise((resolve, reject) => {
    const answers: T[] = [];
    const failures: unknown[] = [];
    let asked = first.length;
    let unasked = rest?.size ?? 0;
    let isOpen = true;
    const close = (): void => {
      isOpen = false;
      clearTimeout(timer);
    };
    const conclude = (): void => {
      try {
        const answered = answers.length + failures.length;
        const verdict = decide({ answers, failures, pending: asked + unasked - answered });
        if (verdict !== undefined) {
          close();
          resolve(verdict);
        } else if (unasked > 0 && (answered === asked || failures.length > 0)) {
          askRest();
        }
      } catch (error) {
        close();
        reject(error);
      }
    };
    const listen = (calls: readonly Promise<T>[]): void => {
      for (const call of calls) {
        call.then(
          (answer) => {
            if (!isOpen) return;
            answers.push(answer);
            conclude();
          },
          (error: unknown) => {
            if (!isOpen) return;
            failures.push(error);
            conclude();
          },
        );
      }
    };
    const askRest = (): void => {
      if (!isOpen || unasked === 0) return;
      asked += unasked;
      unasked = 0;
      listen(rest!.ask());
    };
    const expire = (): void => {
      if (!isOpen) return;
      askRest();
      while (answers.length + failures.length < asked) {
        failures.push(new DriverUnavailableError(`no answer within ${patience} ms`, { sent: true }));
      }
      conclude();
    };
    const after = (milliseconds: number, task: () => void): NodeJS.Timeout =>
      // Answers that came while this process was busy are read before it says that there were none.
      detached(() => setTimeout(() => setImmediate(task), milliseconds).unref());
    let timer = rest
      ? after(HEDGE, () => {
          if (!isOpen) return;
          timer = after(patience, expire);
          askRest();
        })
      : after(patience, expire);
    listen(first);
  });
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
      if (tally.answers.length + tally.pending < enough) throw tooFew(tally);
      return undefined;
    },
  });
}

/** Why a question has no answer: a mistake in the configuration only where it is the only reason. */
export function tooFew({ answers, failures, pending }: Tally<unknown>): Error {
  const [first] = failures;
  if (first instanceof LockConfigError && failures.every((failure) => failure instanceof LockConfigError)) return first;
  const size = answers.length + failures.length + pending;
  const reasons = new Set(failures.map((failure) => (failure instanceof Error ? failure.message : String(failure))));
  return new DriverUnavailableError(
    `Redlock: ${failures.length} of ${size} servers did not answer, ${quorumOf(size)} are needed: ${[...reasons].join('; ')}`,
    { cause: first, sent: failures.some(mayHaveBeenExecuted) || answers.length > 0 },
  );
}

export function mayHaveBeenExecuted(error: unknown): boolean {
  return !(error instanceof LockConfigError || (error instanceof DriverUnavailableError && !error.sent));
}
