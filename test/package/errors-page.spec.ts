import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { errorClasses, ERRORS } from './errors.js';
import { INTERNAL, messagesOf, messagesOfLib } from './messages.js';
import { table } from './pages.js';
import { ROOT } from './repository.js';

const PAGE = readFileSync(join(ROOT, 'docs/errors.md'), 'utf8');
const HEAD = '| Message | What to do |';

interface Row {
  readonly message: string;
  readonly repair: string;
}

/** The rows of all tables of messages. */
function rowsOf(page: string): Row[] {
  const lines = page.split('\n');
  return lines.flatMap((line, index) => {
    if (line !== HEAD) return [];
    const rest = lines.slice(index + 2);
    const end = rest.findIndex((each) => !each.startsWith('|'));
    return rest.slice(0, end < 0 ? undefined : end).map(rowOf);
  });
}

function rowOf(line: string): Row {
  const [, , , message, repair] = /^\| (`+)( ?)(.+?)\2\1 \| (.*) \|$/.exec(line) ?? [];
  return message === undefined || repair === undefined
    ? { message: `no row: ${line}`, repair: '' }
    : { message, repair };
}

/** What a page lacks, has twice, or has that the code does not say. */
function differences(page: string, messages: readonly string[]): string[] {
  const written = rowsOf(page).map(({ message }) => message);
  return [
    ...messages.filter((message) => !written.includes(message)).map((message) => `not on the page: ${message}`),
    ...written.filter((message) => !messages.includes(message)).map((message) => `not in the code: ${message}`),
    ...written.filter((message, index) => written.indexOf(message) !== index).map((message) => `twice: ${message}`),
  ];
}

/** The rows whose second column repairs nothing: fewer than three words, or it sends the reader to the first column. */
function withoutRepair(page: string): Row[] {
  const repairs = (text: string): boolean =>
    text.split(/\s+/).length >= 3 && /[.:)]$/.test(text) && !/\bsee (?:the )?message\b/i.test(text);
  return rowsOf(page).filter(({ repair }) => !repairs(repair));
}

describe('the page of errors', () => {
  const messages = messagesOfLib().map(({ text }) => text);

  it('lists each message of the code once, and no other', () => {
    expect(messages.length).toBeGreaterThan(250);
    expect(differences(PAGE, messages)).toEqual([]);
  });

  it('has a repair for each', () => {
    expect(withoutRepair(PAGE)).toEqual([]);
  });

  it('has a table of codes that tells the truth', () => {
    expect(table('## Errors by code', PAGE).map((cells) => cells.slice(0, 3))).toEqual(
      ERRORS.map(({ name, code, statusCode }) => [name, code, String(statusCode)]),
    );
    expect(ERRORS.map(({ name }) => name).sort()).toEqual(errorClasses().sort());
  });

  describe('would be caught', () => {
    const rows = rowsOf(PAGE);
    const [first = { message: '', repair: '' }] = rows;
    const listed = rows.map(({ message }) => message);
    const line = PAGE.split('\n').find((each) => each.includes(first.message))!;

    it.each([
      ['without a message', PAGE.replace(`${line}\n`, ''), [`not on the page: ${first.message}`]],
      [
        'with a message that is invented',
        PAGE.replace(line, `${line}\n| \`Nothing.\` | Do it. |`),
        ['not in the code: Nothing.'],
      ],
      [
        'with a message that has changed',
        PAGE.replace(first.message, 'Another text.'),
        [`not on the page: ${first.message}`, 'not in the code: Another text.'],
      ],
      ['with a message twice', PAGE.replace(line, `${line}\n${line}`), [`twice: ${first.message}`]],
      [
        'with a row that is broken',
        PAGE.replace(line, `${line}\n| Nothing. |`),
        ['not in the code: no row: | Nothing. |'],
      ],
    ])('%s', (_case, page, expected) => {
      expect(differences(page, listed)).toEqual(expected);
    });

    it.each(['', 'See the message.', 'Fix it.', 'Look at the server'])('with the repair "%s"', (repair) => {
      const page = PAGE.replace(line, `| \`${first.message}\` | ${repair} |`);
      expect(withoutRepair(page)).toEqual([{ message: first.message, repair }]);
    });
  });
});

describe('the messages of the code', () => {
  const found = (...files: string[]): string[] =>
    messagesOf(new Map(files.map((code, index) => [`file-${index}.ts`, code]))).map(({ text }) => text);

  it.each<[how: string, code: string, texts: string[]]>([
    ['an error', "throw new LockConfigError('The option is wrong.');", ['The option is wrong.']],
    ['an error of Nest', "throw new HttpException({ message: 'Nobody is there.' }, 503);", ['Nobody is there.']],
    ['a refused option', 'check.problem(`${path}: expected a list of names.`);', ['…: expected a list of names.']],
    ['a log line', "this.#logger.warn('The store ' + 'is slow today.');", ['The store is slow today.']],
    ['an event', "emit({ type: 'warning', message: 'The clock went back.' });", ['The clock went back.']],
    ['an event by a name', "const message = 'The clock went back.'; emit({ message });", ['The clock went back.']],
    [
      'a table of repairs',
      "const rules = [{ pattern: /x/, repair: 'Raise the limit of x.' }];",
      ['Raise the limit of x.'],
    ],
    [
      'both branches',
      "warn(ok ? 'The first of both.' : `The second of ${count} texts.`);",
      ['The first of both.', 'The second of … texts.'],
    ],
    ['a constant that is put in', "const WHAT = 'a list'; warn(`This must be ${WHAT}.`);", ['This must be a list.']],
    [
      'a sentence that is put in',
      "const why = late ? 'The server is too slow.' : ''; warn(`It failed badly. ${why}`);",
      ['The server is too slow.', 'It failed badly. …'],
    ],
    [
      'a function that returns it',
      "function warning(): string | undefined { return a ? undefined : 'The memory is full.'; } warn(warning());",
      ['The memory is full.'],
    ],
    [
      'a parameter',
      "function fail(check, text) { check.problem(text); } fail(check, 'The option has no value.');",
      ['The option has no value.'],
    ],
    [
      'a private method',
      "class A { #say(text) { this.#warn(text); } b() { this.#say('The key is no place.'); } }",
      ['The key is no place.'],
    ],
    [
      'a list that is joined',
      "throw new Error([`The server ${name} is there`, fix].join(' — '));",
      ['The server … is there'],
    ],
    [
      'a list of problems',
      "function problems() { const all = ['The name is missing.']; all.push('The value is missing.'); return all; }\n" +
        'for (const problem of problems()) check.problem(`driver: ${problem}`);',
      ['The name is missing.', 'The value is missing.'],
    ],
    [
      'a table by a name',
      "const t = { a: 'could not be renewed in time' }; warn(`Lock ${t[reason]}.`);",
      ['could not be renewed in time'],
    ],
  ])('are found in %s', (_how, code, texts) => {
    expect(found(code).sort()).toEqual([...texts].sort());
  });

  it('are found across files', () => {
    const functions =
      "export const LIMIT = 'the limit of names';\nexport function why() { return 'The file is too long.'; }";
    expect(found(functions, 'warn(`Look at ${LIMIT}.`); warn(why());')).toEqual([
      'Look at the limit of names.',
      'The file is too long.',
    ]);
  });

  it.each([
    ['a code', "super('LOCK_CONFIG', 'x');"],
    ['a text that nobody reports', "const text = 'This is only a text.';"],
    ['what a type says', "type Wrong = 'the method has to return it';"],
    [
      'the text of another function with that name',
      "warn(text); function other() { const text = 'Not that text here.'; }",
    ],
  ])('are not %s', (_what, code) => {
    expect(found(code)).toEqual([]);
  });

  it('leave out only what is in the code', () => {
    const code = readFileSync(join(ROOT, 'lib/drivers/redis/connection/connectors.ts'), 'utf8');
    expect([...INTERNAL].filter((text) => !code.includes(text))).toEqual([]);
  });
});
