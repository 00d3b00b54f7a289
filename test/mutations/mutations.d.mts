/** One rule of the safety core that is broken on purpose. */
export interface Mutation {
  /** The rule, with its number in the safety model where it has one. Unique. */
  readonly name: string;
  readonly file: string;
  /** Occurs exactly once in the file. */
  readonly from: string;
  readonly to: string;
  /** Files of tests of which one must fail. */
  readonly specs: readonly string[];
  /** A pattern for the names of the tests that are tried; default: all of the files. */
  readonly grep?: string | undefined;
}

export const mutations: readonly Mutation[];
