/** One grant as its holder saw it: it believed to hold the lock from `from` until `until`. */
export interface Belief {
  /** The holder, for the report only. */
  id: string;
  token: number;
  /** Milliseconds of a clock that all the processes share. */
  from: number;
  until: number;
}

/** The pair of beliefs that contradict each other, the one that began earlier first. */
export type Conflict = [earlier: Belief, later: Belief];

export interface Violations {
  /** Each token that was granted more than once. */
  duplicateTokens: number[];
  /** Two believed to hold the lock at the same time. */
  overlaps: Conflict[];
  /** The later one began after the earlier one had ended, yet with a smaller token. */
  tokenOrderViolations: Conflict[];
  /** Tokens that the resource accepted after a higher one. */
  staleWrites: number[];
}

/**
 * Checks a recorded history of one lock against what a fenced lock promises; a correct one has four empty lists. Each
 * later belief is reported with the first one that it conflicts with.
 *
 * @throws RangeError for a record that no comparison could refute, such as an interval that ends before it begins
 */
export function checkHistory(beliefs: readonly Belief[], resourceLog: readonly number[]): Violations {
  const malformed = beliefs.find(({ token, from, until }) => !Number.isSafeInteger(token) || !(from <= until));
  if (malformed) throw new RangeError(`Not a belief: ${JSON.stringify(malformed)}`);
  const begun = [...beliefs].sort((a, b) => a.from - b.from || a.token - b.token);
  const tokens = begun.map(({ token }) => token);
  let highest = 0;
  return {
    duplicateTokens: [...new Set(tokens.filter((token, index) => tokens.indexOf(token) !== index))],
    overlaps: conflicts(begun, (earlier, later) => later.from < earlier.until),
    tokenOrderViolations: conflicts(
      begun,
      (earlier, later) => later.from >= earlier.until && later.token < earlier.token,
    ),
    staleWrites: resourceLog.filter((token) => token < (highest = Math.max(highest, token))),
  };
}

function conflicts(begun: readonly Belief[], conflict: (earlier: Belief, later: Belief) => boolean): Conflict[] {
  return begun.flatMap((later, index): Conflict[] => {
    const earlier = begun.slice(0, index).find((candidate) => conflict(candidate, later));
    return earlier ? [[earlier, later]] : [];
  });
}
