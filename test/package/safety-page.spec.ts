import { describe, expect, it } from 'vitest';
import { deadLinks, table } from './pages.js';
import { filesBelow, read } from './repository.js';

const PAGE = read('docs/internals/safety.md');
const MAP = read('test/README.md');
const RULES = Array.from({ length: 11 }, (_, index) => `S${index + 1}`);
const TESTS = new Map(filesBelow('test', /\.\w+$/).map((path) => [path, read(path)]));
/** Comments, names of tests and names of mutations. This file cites a rule that does not exist. */
const CITING = [...filesBelow('lib', /\.(ts|mjs|lua)$/), ...filesBelow('test', /\.(ts|mjs)$/)].filter(
  (path) => path !== 'test/package/safety-page.spec.ts',
);

interface Rule {
  readonly id: string;
  /** What stands below "Held by". */
  readonly held: string;
  readonly control: string;
}

function rulesOf(page: string): Rule[] {
  const sections = page.split(/^## (?=S\d)/m).slice(1);
  return sections.map((section) => {
    const [, held = '', control = ''] = /\*\*Held by\*\*(.*?)(?:\*\*Control\*\*:(.*))?$/s.exec(section) ?? [];
    return { id: /^S\d+/.exec(section)![0], held, control };
  });
}

/** Names of tests: texts between double quotes. */
const quoted = (text: string): string[] => [...text.matchAll(/"([^"]+)"/g)].map(([, name = '']) => name);

/** A path below `test` in a text, and the tests of it that are named behind it. */
function citedTests(text: string): { path: string; names: string[] }[] {
  const cited = text.replaceAll(/\s+/g, ' ').matchAll(/`(test\/[\w./-]+\.\w+)`(?::| \()?((?:,? ?"[^"]+")*)/g);
  return [...cited].map(([, path = '', names = '']) => ({ path, names: quoted(names) }));
}

/** What a text says of tests that is not so. */
function missingTests(text: string): string[] {
  return citedTests(text).flatMap(({ path, names }) => {
    const code = TESTS.get(path);
    if (code === undefined) return [`there is no ${path}`];
    return names.filter((name) => !code.includes(name)).map((name) => `${path} has no test "${name}"`);
  });
}

function problemsOfRule({ id, held, control }: Rule): string[] {
  const controls = quoted(control.replaceAll(/\s+/g, ' '));
  const isTest = (name: string): boolean => [...TESTS.values()].some((code) => code.includes(name));
  const problems = [...missingTests(held), ...controls.filter((name) => !isTest(name)).map((name) => `no "${name}"`)];
  if (!citedTests(held).some(({ path }) => path.endsWith('.spec.ts'))) problems.push('names no spec');
  if (controls.length === 0) problems.push('names no control');
  return problems.map((problem) => `${id}: ${problem}`);
}

function problemsOf(page: string): string[] {
  const rules = rulesOf(page);
  const ids = rules.map(({ id }) => id).join(' ');
  return [...(ids === RULES.join(' ') ? [] : [`the rules are ${ids}`]), ...rules.flatMap(problemsOfRule)];
}

/** The rules that a text cites and that do not exist. */
function unknownRules(text: string): string[] {
  return (text.match(/\bS\d{1,2}\b/g) ?? []).filter((id) => !RULES.includes(id));
}

/** The targets of the map's links, by their labels: `[validity]: unit/locks/validity.spec.ts`. */
function targetsOf(map: string): Map<string, string> {
  return new Map([...map.matchAll(/^\[(.+)\]: (\S+)$/gm)].map(([, label = '', target = '']) => [label, target]));
}

/** The table of the map, a line for each rule and spec: `S3 test/unit/core/clock.spec.ts`. */
function specsOnMap(map: string): string[] {
  const targets = targetsOf(map);
  return table('## The safety rules and their specs', map).flatMap(([rule = '', specs = '']) =>
    [...specs.matchAll(/\[(.+?)\]/g)].map(([, label = '']) => `${/S\d+/.exec(rule)![0]} test/${targets.get(label)}`),
  );
}

function specsThatCite(): string[] {
  const specs = CITING.filter((path) => path.endsWith('.spec.ts'));
  return specs.flatMap((path) =>
    RULES.filter((id) => new RegExp(`\\b${id}\\b`).test(read(path))).map((id) => `${id} ${path}`),
  );
}

function problemsOfMap(map: string, cited = specsThatCite()): string[] {
  const listed = specsOnMap(map);
  const held = rulesOf(PAGE).flatMap((rule) => citedTests(rule.held).map(({ path }) => `${rule.id} ${path}`));
  return [
    ...cited.filter((each) => !listed.includes(each)).map((each) => `not in the table: ${each}`),
    ...listed.filter((each) => !cited.includes(each)).map((each) => `not cited: ${each}`),
    ...held.filter((each) => !cited.includes(each)).map((each) => `held, not cited: ${each}`),
  ];
}

describe('the page of the safety rules', () => {
  it('has each rule, with specs that exist, tests by their names, and a control', () => {
    expect(problemsOf(PAGE)).toEqual([]);
  });

  it('has every rule that the code and the tests cite', () => {
    const texts = CITING.map(read);
    expect(texts.flatMap(unknownRules)).toEqual([]);
    const cited = texts.join('\n');
    expect(RULES.filter((id) => !new RegExp(`\\b${id}\\b`).test(cited))).toEqual([]);
  });

  it.each(filesBelow('docs', /\.md$/))('%s names tests that exist', (page) => {
    expect(missingTests(read(page))).toEqual([]);
  });
});

describe('the map of the tests', () => {
  it('has the specs that cite each rule, and these cite each rule that they hold', () => {
    expect(problemsOfMap(MAP)).toEqual([]);
  });

  it('leads to files and headings that exist', () => {
    const links = [...targetsOf(MAP).values()].map((target) => `[a](${target})`);
    expect(deadLinks([{ path: 'test/README.md', text: `${MAP}\n${links.join(' ')}` }])).toEqual([]);
  });
});

describe('would be caught:', () => {
  const [{ path, names } = { path: '', names: [] }] = citedTests(rulesOf(PAGE)[0]!.held);
  const [control = ''] = quoted(rulesOf(PAGE)[0]!.control);
  it.each<[string, string, string]>([
    ['a page without a rule', PAGE.replace('## S7 ', '## About '), 'the rules are S1 S2 S3 S4 S5 S6 S8'],
    ['a page with one rule more', `${PAGE}\n## S12 More\n`, 'the rules are S1 S2 S3 S4 S5 S6 S7 S8 S9 S10 S11 S12'],
    [
      'a rule with a spec that does not exist',
      PAGE.replace(path, 'test/gone.spec.ts'),
      'there is no test/gone.spec.ts',
    ],
    ['a rule with a test of another name', PAGE.replace(names[0]!, 'gone or not'), 'has no test "gone or not"'],
    ['a rule with a control of another name', PAGE.replace(control, `${control} or not`), 'S1: no "'],
    ['a rule that no spec holds', PAGE.replaceAll(/^- `test\/.*$/gm, ''), 'S1: names no spec'],
    ['a rule that nothing controls', PAGE.replaceAll('**Control**:', ''), 'S1: names no control'],
  ])('%s', (_, page, problem) => {
    expect(problemsOf(page).join('\n')).toContain(problem);
  });

  it.each<[string, string, string[] | undefined, string]>([
    ['a map without a spec', MAP.replace('| [clock], ', '| '), undefined, 'not in the table: S3 test/unit/core/clock'],
    [
      'a map with a spec too many',
      MAP.replace('| [clock], ', '| [clock], [close], '),
      undefined,
      'not cited: S3 test/unit',
    ],
    [
      'a map with a label that leads nowhere',
      MAP.replace(/^\[clock\]: .*$/m, ''),
      undefined,
      'not cited: S3 test/undefined',
    ],
    ['a spec that holds a rule and does not cite it', MAP, [], 'held, not cited: S3 test/unit/core/clock.spec.ts'],
  ])('%s', (_, map, cited, problem) => {
    expect(problemsOfMap(map, cited).join('\n')).toContain(problem);
  });

  it('a citation of a rule that does not exist', () => {
    expect(unknownRules('// S6 and S12')).toEqual(['S12']);
  });

  it('a page that names tests which do not exist', () => {
    const text =
      'Specs: `test/gone.spec.ts`, `test/faults/redlock.spec.ts` ("never have\ntwo holders", "gone or not").';
    expect(missingTests(text)).toEqual([
      'there is no test/gone.spec.ts',
      'test/faults/redlock.spec.ts has no test "gone or not"',
    ]);
  });
});
