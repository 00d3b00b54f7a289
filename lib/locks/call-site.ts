/** The number of acquisitions whose place is noted from the start; others are noted once one was needed. */
const NOTED_FROM_THE_START = 1000;
const FRAMES = 3;

/** Where in the code a lock was acquired. */
export class CallSite {
  // The text is made on demand, which is seldom.
  readonly #trace: { readonly stack?: string } = {};

  /** @param above the function whose callers count */
  constructor(above: (...args: never[]) => unknown) {
    const limit = Error.stackTraceLimit;
    Error.stackTraceLimit = FRAMES;
    Error.captureStackTrace(this.#trace, above);
    Error.stackTraceLimit = limit;
  }

  /** `at Billing.charge (/app/billing.js:41:23), at …` */
  get text(): string | undefined {
    const lines = this.#trace.stack?.split('\n').filter((line) => line.startsWith('    at '));
    return lines?.length ? lines.map((line) => line.trim()).join(', ') : undefined;
  }
}

/**
 * Notes where locks are acquired. A stack trace costs some microseconds, too many for each of thousands of locks a
 * second. So the first ones are noted, and all of them once a lock was found that somebody forgot to release.
 */
export class CallSites {
  #left = NOTED_FROM_THE_START;

  note(above: (...args: never[]) => unknown): CallSite | undefined {
    if (this.#left === 0) return undefined;
    this.#left--;
    return new CallSite(above);
  }

  /** From now on all. */
  noteAll(): void {
    this.#left = Infinity;
  }
}
