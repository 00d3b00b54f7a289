import * as main from 'nestjs-dist-lock';
import type { LockDriver } from 'nestjs-dist-lock';
import { driverContract } from 'nestjs-dist-lock/testing';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';
import { read } from './repository.js';

interface Row {
  readonly token: number;
  readonly cancelled: object;
}
interface Table {
  update<T>(key: string, change: (row: Row, now: number) => T): Promise<T>;
}
interface PageModule {
  readonly TableDriver: new (table: Table) => LockDriver;
}

const PAGE = read('docs/internals/writing-a-driver.md');
/** The first block of TypeScript. */
const [, CODE = ''] = /^```ts\n(.*?)^```$/ms.exec(PAGE) ?? [];

/** Runs code of a page as a module that knows the package. */
function run(code: string): PageModule {
  const { outputText } = ts.transpileModule(code, {
    compilerOptions: { module: ts.ModuleKind.CommonJS, target: ts.ScriptTarget.ES2022 },
  });
  const exports = {};
  // oxlint-disable-next-line typescript/no-implied-eval
  new Function('require', 'exports', outputText)(() => main, exports);
  return exports as PageModule;
}

class MapTable implements Table {
  readonly #rows = new Map<string, Row>();

  async update<T>(key: string, change: (row: Row, now: number) => T): Promise<T> {
    const row = this.#rows.get(key) ?? { token: 0, cancelled: {} };
    this.#rows.set(key, row);
    return change(row, Date.now());
  }
}

function casesOf(code: string): ReturnType<typeof driverContract> {
  const { TableDriver } = run(code);
  const table = new MapTable();
  return driverContract({ create: () => new TableDriver(table) });
}

describe('the driver on the page "Writing a driver"', () => {
  for (const { name, run: check } of casesOf(CODE)) it(name, check);

  it('control: would be caught without its memory of cancelled holders', async () => {
    const forgetful = CODE.replace('if (claim.holder in row.cancelled)', 'if (false)');
    expect(forgetful).not.toBe(CODE);
    const cancels = casesOf(forgetful).find(({ name }) => name.startsWith('cancels: gives back a grant'))!;
    await expect(cancels.run()).rejects.toThrow();
  });
});
