import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { mutations } from '../../mutations/mutations.mjs';

const root = new URL('../../../', import.meta.url);

// So that the table does not rot: `npm run test:mutations` runs what it says.
describe('the mutations of the safety core', () => {
  it('are four hundred at least, each with a name of its own', () => {
    expect(mutations.length).toBeGreaterThanOrEqual(400);
    expect(new Set(mutations.map(({ name }) => name)).size).toBe(mutations.length);
  });

  it('name tests that exist', () => {
    const specs = new Set(mutations.flatMap((mutation) => mutation.specs));
    expect([...specs].filter((spec) => !existsSync(new URL(spec, root)))).toEqual([]);
    expect(mutations.filter((mutation) => mutation.specs.length === 0)).toEqual([]);
  });

  it('change code that is there: one that moved has to move in the table, too', () => {
    const stale = mutations.filter(({ file, from, to }) => {
      const parts = readFileSync(new URL(file, root), 'utf8').split(from);
      return parts.length !== 2 || from === to;
    });
    expect(stale.map(({ name, file }) => `${file}: ${name}`)).toEqual([]);
  });
});
