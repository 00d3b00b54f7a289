import { DriverUnavailableError, LockConfigError } from '../../core/errors.js';

/** The smallest number of servers, out of `size`, for which any two sets of that number share a server. */
export function quorumOf(size: number): number {
  return Math.floor(size / 2) + 1;
}

/** Milliseconds that one server may take for its answer. After that the others decide without it. */
export function timeoutOf(ttl: number): number {
  return Math.min(400, Math.max(50, ttl / 20));
}

/** The answers to a question so far. */
export interface Tally<T> {
  readonly answers: readonly T[];
  readonly failures: readonly unknown[];
  readonly pending: number;
}

/**
 * The error of a question without a verdict. It is a LockConfigError only where all failures are: otherwise another
 * attempt may succeed.
 */
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
