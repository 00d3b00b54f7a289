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

/**
 * Resolves as soon as `decide` comes to a verdict, which it must once nothing is pending; what it throws rejects. Who
 * has not answered after `patience` milliseconds has failed. Later answers and failures are heard, and have no effect.
 */
export function poll<T, V>(
  calls: readonly Promise<T>[],
  patience: number,
  decide: (tally: Tally<T>) => V | undefined,
): Promise<V> {
  return new Promise((resolve, reject) => {
    const answers: T[] = [];
    const failures: unknown[] = [];
    let pending = calls.length;
    let isOpen = true;
    const conclude = (): void => {
      try {
        const verdict = decide({ answers, failures, pending });
        if (verdict === undefined) return;
        resolve(verdict);
      } catch (error) {
        reject(error);
      }
      isOpen = false;
      clearTimeout(timer);
    };
    const expire = (): void => {
      if (!isOpen) return;
      while (pending > 0) {
        failures.push(new DriverUnavailableError(`no answer within ${patience} ms`, { sent: true }));
        pending--;
      }
      conclude();
    };
    // Answers that came while this process was busy are read before it says that there were none.
    const timer = detached(() => setTimeout(() => setImmediate(expire), patience).unref());
    for (const call of calls) {
      call.then(
        (answer) => {
          if (!isOpen) return;
          answers.push(answer);
          pending--;
          conclude();
        },
        (error: unknown) => {
          if (!isOpen) return;
          failures.push(error);
          pending--;
          conclude();
        },
      );
    }
  });
}

/** For questions that need no more than enough answers: those of the first quorum. */
export function firstQuorum<T>(calls: readonly Promise<T>[], patience: number): Promise<readonly T[]> {
  const quorum = quorumOf(calls.length);
  return poll(calls, patience, (tally) => {
    if (tally.answers.length >= quorum) return tally.answers;
    if (tally.failures.length >= quorum) throw tooFew(tally);
    return undefined;
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
