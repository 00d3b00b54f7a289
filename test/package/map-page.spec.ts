import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const page = readFileSync(join(ROOT, 'docs/internals/README.md'), 'utf8');
const sources = filesIn(join(ROOT, 'lib')).filter((path) => path.endsWith('.ts'));

function filesIn(folder: string): string[] {
  const entries = readdirSync(folder, { withFileTypes: true, recursive: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}

function foldersOnPage(text: string): string[] {
  return [...text.matchAll(/^\| `(lib\/[\w/]+)`/gm)].map(([, folder]) => folder!).sort();
}

/** Classes that the glossary names and lib does not have. */
function unknownClasses(text: string): string[] {
  const code = sources.map((path) => readFileSync(path, 'utf8')).join('\n');
  const named = [...text.matchAll(/\(`([A-Z]\w+)`\)/g)].map(([, name]) => name!);
  expect(named.length).toBeGreaterThan(4);
  return named.filter((name) => !new RegExp(`\\b(class|interface) ${name}\\b`).test(code));
}

describe('the map of lib', () => {
  const folders = [...new Set(sources.map((path) => relative(ROOT, join(path, '..'))))].filter(
    (path) => path !== 'lib',
  );

  it('names each folder that has code, and no other', () => {
    expect(foldersOnPage(page)).toEqual(folders.toSorted());
  });

  it('has a glossary whose classes exist', () => {
    expect(unknownClasses(page)).toEqual([]);
    expect(unknownClasses(page.replace('`WaitLimit`', '`Patience`'))).toEqual(['Patience']);
  });
});
