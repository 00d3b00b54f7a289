import type { SerializedError } from 'vitest';
import type { Reporter, TestModule, Vitest } from 'vitest/node';
import { byKind, kindOf } from './sequencer.js';

interface Count {
  passed: number;
  failed: number;
  skipped: number;
  milliseconds: number;
}

/**
 * Prints the tests by kind and, as the last line of all, `N passed, N failed` (`, N skipped`). Whatever keeps a run from
 * being green is a failure here too: a file that does not load, a hook that throws, a test that did not finish.
 */
export class CountReporter implements Reporter {
  #print: (line: string) => void = () => {};

  onInit({ logger }: Vitest): void {
    this.#print = (line) => logger.log(line);
  }

  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly SerializedError[]): void {
    const counts = new Map<string, Count>();
    const countOf = (kind: string): Count => {
      const count = counts.get(kind) ?? { passed: 0, failed: 0, skipped: 0, milliseconds: 0 };
      counts.set(kind, count);
      return count;
    };
    for (const module of modules) add(module, countOf(kindOf(module.relativeModuleId)));
    if (unhandledErrors.length > 0) countOf('unhandled').failed = unhandledErrors.length;
    const rows = [...counts].sort(([one], [other]) => byKind(one, other));
    const total = (state: keyof Count): number => rows.reduce((sum, [, count]) => sum + count[state], 0);

    this.#print(row('', 'passed', 'failed', 'skipped', 'duration'));
    for (const [kind, { passed, failed, skipped, milliseconds }] of rows) {
      this.#print(row(kind, passed, failed, skipped, `${(milliseconds / 1000).toFixed(2)} s`));
    }
    const skipped = total('skipped') > 0 ? `, ${total('skipped')} skipped` : '';
    this.#print(`\n${total('passed')} passed, ${total('failed')} failed${skipped}`);
  }
}

// Vitest takes the default export of a reporter that is named by its path.
export default CountReporter;

function add(module: TestModule, count: Count): void {
  count.milliseconds += module.diagnostic().duration;
  count.failed += module.errors().length;
  for (const suite of module.children.allSuites()) count.failed += suite.errors().length;
  for (const test of module.children.allTests()) {
    const { state } = test.result();
    count[state === 'pending' ? 'failed' : state]++;
  }
}

function row(kind: string, ...cells: (string | number)[]): string {
  return kind.padEnd(12) + cells.map((cell) => String(cell).padStart(10)).join('');
}
