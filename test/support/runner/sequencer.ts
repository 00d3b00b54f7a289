import { BaseSequencer, type TestSpecification } from 'vitest/node';

const KINDS = ['unit', 'simulation', 'contract', 'integration', 'faults', 'e2e', 'package'];

/** The folder directly below `test`, for a path from the root of the repository. */
export function kindOf(path: string): string {
  return /^test\/([^/]+)\//.exec(path)?.[1] ?? 'other';
}

/** Orders kinds of tests from the fastest to the slowest; one that is not known comes last. */
export function byKind(one: string, other: string): number {
  const rank = (kind: string): number => (KINDS.includes(kind) ? KINDS.indexOf(kind) : KINDS.length);
  return rank(one) - rank(other);
}

/** Runs the files in the order of their kinds, those of one kind by name: the same order in every run. */
export class KindSequencer extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const path = ({ moduleId }: TestSpecification): string => moduleId.slice(this.ctx.config.root.length + 1);
    const order = (one: string, other: string): number => byKind(kindOf(one), kindOf(other)) || (one < other ? -1 : 1);
    return [...files].sort((one, other) => order(path(one), path(other)));
  }
}
