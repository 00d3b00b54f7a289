import { dirname } from 'node:path/posix';
import { describe, expect, it } from 'vitest';
import { filesBelow, read } from './repository.js';

const page = read('docs/internals/README.md');
const sources = filesBelow('lib', /\.ts$/);

function foldersOnPage(text: string, root: string): string[] {
  return [...text.matchAll(/^\| `([\w/]+)`/gm)]
    .map(([, folder]) => folder!)
    .filter((folder) => folder.startsWith(`${root}/`))
    .sort();
}

/** Classes that the glossary names and lib does not have. */
function unknownClasses(text: string): string[] {
  const code = sources.map((path) => read(path)).join('\n');
  const named = [...text.matchAll(/\(`([A-Z]\w+)`\)/g)].map(([, name]) => name!);
  expect(named.length).toBeGreaterThan(4);
  return named.filter((name) => !new RegExp(`\\b(class|interface) ${name}\\b`).test(code));
}

describe('the map of lib', () => {
  const folders = [...new Set(sources.map((path) => dirname(path)))].filter((path) => path !== 'lib');

  it('names each folder that has code, and no other', () => {
    expect(foldersOnPage(page, 'lib')).toEqual(folders.toSorted());
  });

  it('has a glossary whose classes exist', () => {
    expect(unknownClasses(page)).toEqual([]);
    expect(unknownClasses(page.replace('`WaitLimit`', '`Patience`'))).toEqual(['Patience']);
  });
});

describe('the map of the tests', () => {
  const map = read('test/README.md');
  const rooms = filesBelow('test', /\.\w+$/).map((path) => /^test\/(?:support\/)?[^/]+(?=\/)/.exec(path)?.[0] ?? '');

  it('names each folder, and no other', () => {
    expect(foldersOnPage(map, 'test')).toEqual([...new Set(rooms)].filter(Boolean));
  });
});
