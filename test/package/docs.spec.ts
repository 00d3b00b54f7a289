import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as main from 'nestjs-dist-lock';
import { EtcdDriver } from 'nestjs-dist-lock/etcd';
import { MemoryDriver } from 'nestjs-dist-lock/memory';
import { RedisDriver, RedlockDriver } from 'nestjs-dist-lock/redis';
import ts from 'typescript';
import { beforeAll, describe, expect, it } from 'vitest';
import { SystemClock } from '../../lib/core/clock.js';
import { toMilliseconds } from '../../lib/core/duration.js';
import { wrappingsOf } from '../../lib/decorators/wrap-method.js';
import { planConnection } from '../../lib/drivers/redis/connection/connection-options.js';
import { checkAcquireOptions } from '../../lib/locks/acquire-options.js';
import { resolveOptions } from '../../lib/nest/resolve-options.js';
import { Api, compilerOptions, ENTRIES, type Entry } from './api.js';
import { errorClasses, ERRORS } from './errors.js';
import { messagesOfLib } from './messages.js';
import { codeBlocks, deadLinks, documentedUser, linksOf, type Page, PAGES, type Table, tablesOf } from './pages.js';
import { read, ROOT } from './repository.js';

const README = PAGES[0]!;
const TABLES = PAGES.flatMap(tablesOf);
/** Exported types whose names do not end with `Options` or `Extras`, and which have a table of their own, too. */
const WITH_TABLE = [
  'Lock',
  'LockService',
  'LockDescription',
  'LeaderService',
  'LeaderElections',
  'LeaderElection',
  'LeadershipState',
  'Term',
  'Member',
  'StartedLeading',
  'BoundServices',
  'EtcdTls',
];

let api: Api;
beforeAll(() => {
  api = new Api();
});

/** Compiles texts as if they were files of a folder in this repository; what TypeScript complains of. */
function compile(blocks: readonly Block[]): string[] {
  const options = compilerOptions();
  const texts = new Map(blocks.map((block) => [block.file, block.text]));
  const host = ts.createCompilerHost(options);
  const { fileExists, readFile, getSourceFile } = host;
  host.fileExists = (path) => texts.has(path) || fileExists(path);
  host.readFile = (path) => texts.get(path) ?? readFile(path);
  host.getSourceFile = (path, languageVersion, ...rest) => {
    const text = texts.get(path);
    if (text === undefined) return getSourceFile(path, languageVersion, ...rest);
    return ts.createSourceFile(path, text, languageVersion);
  };
  const program = ts.createProgram([...texts.keys()], options, host);
  return blocks.flatMap(({ file: path, page }) => {
    const file = program.getSourceFile(path)!;
    return [...program.getSyntacticDiagnostics(file), ...program.getSemanticDiagnostics(file)].map((diagnostic) => {
      const { line } = file.getLineAndCharacterOfPosition(diagnostic.start ?? 0);
      return `${page}:${line + 1}: ${ts.flattenDiagnosticMessageText(diagnostic.messageText, '\n')}`;
    });
  });
}

interface Block {
  readonly page: string;
  /** Where the compiler sees it. */
  readonly file: string;
  readonly text: string;
}

/** A file for each TypeScript block of a page, in which the code stands in the lines that it has in the page. */
function blocksOf({ path, text }: Page): Block[] {
  return codeBlocks(text)
    .filter(({ language }) => language === 'ts')
    .map(({ line, code }) => ({
      page: path,
      file: join(ROOT, 'test/package/pages', path, `line-${line}.ts`),
      text: '\n'.repeat(line - 1) + code,
    }));
}

describe('the TypeScript of the pages', () => {
  it('compiles', { timeout: 120_000 }, () => {
    const blocks = PAGES.flatMap(blocksOf);
    expect(blocks.length).toBeGreaterThan(25);
    expect(compile(blocks)).toEqual([]);
  });

  it('would be caught on each page if it did not', { timeout: 60_000 }, () => {
    const wrong =
      "```ts\nimport { WithLock } from 'nestjs-dist-lock';\nexport class A {\n  @WithLock('k')\n  sync(): void {}\n}\n```\n";
    const pages = PAGES.map(({ path, text }) => ({ path, text: `${text}\n${wrong}` }));
    const problems = compile(pages.flatMap((page) => blocksOf(page).slice(-1)));
    expect(problems).toEqual(
      pages.map(({ path, text }) => {
        const line = text.split('\n').lastIndexOf("  @WithLock('k')") + 1;
        return expect.stringMatching(new RegExp(`^${path}:${line}: .*not assignable`, 's')) as string;
      }),
    );
  });
});

describe('the pages name all that is exported', () => {
  const text = PAGES.map((page) => page.text).join('\n');

  it.each(Object.keys(ENTRIES) as Entry[])('by %s', (entry) => {
    expect(api.names(entry).length).toBeGreaterThan(0);
    expect(api.names(entry).filter((name) => !new RegExp(`\\b${name}\\b`).test(text))).toEqual([]);
  });
});

describe('the tables of the pages', () => {
  /** `acquire` of `acquire(key, options?)`, `WithLock` of `@WithLock(…)`. */
  const nameIn = (cell = ''): string => /[\w$.]+/.exec(cell)?.[0] ?? '';
  const firstColumn = ({ rows }: Table): string[] => rows.map(([cell]) => nameIn(cell)).sort();
  const about = (name: string, first: string, tables: readonly Table[] = TABLES): Table[] =>
    tables.filter(({ heading, head }) => heading === name && head[0] === first);

  /** What tables of options and members say otherwise than the code. */
  function differences(tables: readonly Table[]): string[] {
    return tables.flatMap((table) => {
      const { page, heading, head } = table;
      if (!api.has(heading) || (head[0] !== 'Option' && head[0] !== 'Member')) return [];
      const real = head[0] === 'Option' ? api.options(heading) : api.members(heading);
      const written = firstColumn(table);
      return [
        ...real.filter((name) => !written.includes(name)).map((name) => `${page}: ${heading} lacks ${name}`),
        ...written.filter((name) => !real.includes(name)).map((name) => `${page}: ${heading} has no ${name}`),
      ];
    });
  }

  it('list every option and member, and no other', () => {
    const expected = [...api.interfaces(/Options$|Extras$/), ...WITH_TABLE];
    const found = TABLES.filter(({ head }) => head[0] === 'Option' || head[0] === 'Member');
    expect(expected.filter((name) => !found.some(({ heading }) => heading === name))).toEqual([]);
    expect(differences(TABLES)).toEqual([]);
  });

  it('would be caught without one, and with another', () => {
    const [table] = about('AcquireOptions', 'Option');
    const { rows, ...rest } = table!;
    expect(differences([{ ...rest, rows: [...rows.slice(1), ['retries', '3', 'How often.']] }])).toEqual([
      `${table!.page}: AcquireOptions lacks ${nameIn(rows[0]![0])}`,
      `${table!.page}: AcquireOptions has no retries`,
    ]);
  });

  describe('of options tell the defaults', () => {
    const LITERAL = /^('.*'|[\d,.]+|true|false|\[.*\]|\{\})$/;
    const valueOf = (cell: string): unknown =>
      /^'\d/.test(cell)
        ? toMilliseconds(cell.replaceAll("'", ''), 'default')
        : (JSON.parse(cell.replaceAll("'", '"')) as unknown);

    /** By type and option; an option that is not here has no default, or one that is told in words. */
    function defaults(): Record<string, Record<string, unknown>> {
      const { lock, waiting, elections, grace, failFast, observeOnly, instance } = resolveOptions({});
      const { name, ...election } = elections[0]!;
      class Jobs {
        @main.OncePerTick()
        async job(): Promise<void> {}
      }
      @main.LeaderOnly()
      class Routes {
        async route(): Promise<void> {}
      }
      const tick = wrappingsOf(Jobs.prototype.job)[0]!.options as main.OncePerTickOptions;
      const leaderOnly = Reflect.getMetadata('nestjs-dist-lock:leader-only', Routes) as { timeout: number };
      const { acks } = planConnection({ host: '127.0.0.1', replicas: { ack: 1 } }, new SystemClock(), Math.random);
      const limit = checkAcquireOptions({ attempts: 1 }, '').limit as { retryDelay: number };
      return {
        DistLockModuleOptions: {
          allowMemoryInProduction: false,
          failFast,
          observeOnly,
          'instance.allowedUrls': [],
          'instance.metadata': instance.metadata,
          'lock.ttl': lock.ttl,
          'lock.wait': lock.wait,
          'lock.maxWaiting': waiting.inAll,
          'lock.maxWaitingPerKey': waiting.perKey,
          'shutdown.grace': grace,
        },
        DistLockModuleExtras: { isGlobal: main.DistLockModule.forRoot().global },
        DistLockModuleAsyncExtras: { elections: ['default'] },
        ElectionOptions: {
          name,
          priority: election.priority,
          leaseDuration: election.leaseDuration,
          renewDeadline: election.renewDeadline,
          retryPeriod: election.retryPeriod,
          autoCampaign: election.autoCampaign,
          releaseOnShutdown: election.releaseOnShutdown,
        },
        TryOptions: { reentrant: false },
        AcquireOptions: { retryDelay: limit.retryDelay, unavailable: 'wait' },
        WithLockOptions: { otherwise: 'wait' },
        LeaderOnlyOptions: { timeout: leaderOnly.timeout, catchUp: false, election: name },
        LeaderCallbackOptions: { election: name },
        OncePerTickOptions: { tolerance: tick.tolerance, catchUp: tick.catchUp },
        FailoverOptions: { 'replicas.ack': 0, 'replicas.timeout': acks!.timeout },
      };
    }

    function wrongDefaults(tables: readonly Table[]): string[] {
      const real = defaults();
      const wrong: string[] = [];
      for (const { page, heading, head, rows } of tables) {
        if (head[0] !== 'Option' || head[1] !== 'Default' || !api.has(heading)) continue;
        for (const [option, cell = ''] of rows) {
          const expected = real[heading]?.[nameIn(option)];
          const [value = ''] = cell.split(/[,;] (?=[a-z])/);
          const said = LITERAL.test(value) ? JSON.stringify(valueOf(value)) : undefined;
          if (said !== JSON.stringify(expected)) wrong.push(`${page}: ${heading}.${nameIn(option)}: ${cell}`);
        }
      }
      return wrong;
    }

    it('that the code has', () => {
      expect(wrongDefaults(TABLES)).toEqual([]);
    });

    /** The value with which a default begins: `10 s, or two thirds of …` is 10,000. Undefined for words. */
    function valueIn(text: string): unknown {
      const [first = ''] = text.split(/[,;] (?=[a-z])/);
      const value = first.replaceAll('`', '');
      if (LITERAL.test(value)) return valueOf(value);
      if (/^\d+ ?(ms|s|m|h|d)$/.test(value)) return toMilliseconds(value, 'default');
      return /^`\w+`$/.test(first) ? value : undefined;
    }

    /** Defaults that a table and a doc comment tell differently. A value is compared, words need only be there. */
    function otherDefaults(tables: readonly Table[], commentsOf = (type: string) => api.defaultValues(type)): string[] {
      return tables.flatMap(({ page, heading, head, rows }) => {
        if (head[0] !== 'Option' || head[1] !== 'Default' || !api.has(heading)) return [];
        const comments = commentsOf(heading);
        return rows.flatMap(([option, cell = '']) => {
          const comment = comments.get(nameIn(option));
          const isTold = cell === '–' || comment !== undefined;
          if (isTold && JSON.stringify(valueIn(comment ?? '')) === JSON.stringify(valueIn(cell))) return [];
          return [`${page}: ${heading}.${nameIn(option)}: ${cell}, but @defaultValue ${comment ?? '–'}`];
        });
      });
    }

    it('that the doc comments tell', () => {
      expect(otherDefaults(TABLES)).toEqual([]);
    });

    it.each([
      ['another value', '1 s', "'200ms', but @defaultValue 1 s"],
      ['words', 'a while', "'200ms', but @defaultValue a while"],
      ['nothing', undefined, "'200ms', but @defaultValue –"],
    ])('and a doc comment would be caught with %s', (_what, comment, expected) => {
      const [table] = about('AcquireOptions', 'Option');
      const rows = table!.rows.filter(([option]) => nameIn(option) === 'retryDelay');
      const comments = new Map(comment === undefined ? [] : [['retryDelay', comment]]);
      expect(otherDefaults([{ ...table!, rows }], () => comments)).toEqual([
        `${table!.page}: AcquireOptions.retryDelay: ${expected}`,
      ]);
    });

    it.each([
      ['retryDelay', "'1s'"],
      ['signal', '5'],
      ['retryDelay', 'some time'],
    ])('and would be caught with %s: %s', (option, cell) => {
      const [table] = about('AcquireOptions', 'Option');
      const rows = [[option, cell, '']];
      expect(wrongDefaults([{ ...table!, rows }])).toEqual([`${table!.page}: AcquireOptions.${option}: ${cell}`]);
    });
  });

  it('list every decorator', () => {
    const decorators = TABLES.filter(({ head: [first] }) => first === 'Decorator');
    expect(decorators.map(firstColumn)).toEqual([api.functions(/^[A-Z]/).sort()]);
  });

  it('list every injection token, with its value', () => {
    const tokens = TABLES.filter(({ head: [first] }) => first === 'Token');
    expect(tokens.map(firstColumn)).toEqual([api.functions(/^get\w+Token$/).sort()]);
    for (const [call = '', value] of tokens[0]!.rows) {
      const token = (main as unknown as Record<string, () => string>)[nameIn(call)]!();
      expect(value, call).toBe(`'${token}'`);
    }
  });

  it.each(['LockEvent', 'LeaderEvent'])('list every %s with its fields', (name) => {
    const [table] = about(name, 'Event');
    const written = table!.rows.map(([type = '', fields = '']) => [type, fields.split(', ').filter(Boolean).sort()]);
    const real = [...api.variants(name)].map(([type, fields]) => [type, fields.sort()]);
    expect(new Map(written as [string, string[]][])).toEqual(new Map(real as [string, string[]][]));
  });

  it('of errors tell the truth', () => {
    const tables = TABLES.filter(({ head }) => head[0] === 'Class' && head[1]?.toLowerCase() === 'code');
    expect(tables.length).toBeGreaterThan(0);
    const real = ERRORS.map(({ name, code, statusCode }) => [name, code, String(statusCode)]);
    for (const { rows } of tables) expect(rows.map((cells) => cells.slice(0, 3))).toEqual(real);
    expect(ERRORS.map(({ name }) => name).sort()).toEqual(errorClasses().sort());
  });

  it("list every error's fields", () => {
    const table = TABLES.find(({ head }) => head[0] === 'Error' && head[1] === 'Fields');
    const written = table!.rows.map(([name = '', fields = '']) => [name, fields.split(', ').filter(Boolean).sort()]);
    const real = api.classes(/Error$/).map((name) => [name, api.members(name).sort()]);
    expect(new Map(written as [string, string[]][])).toEqual(new Map(real as [string, string[]][]));
  });

  describe('of permissions', () => {
    const granted = (): string[] => documentedUser().rules.filter((rule) => /^[+~&]/.test(rule));
    const described = (): readonly string[][] =>
      TABLES.filter(({ head }) => head[0] === 'Permission').flatMap(({ rows }) => rows.map(([cell = '']) => [cell]));

    /** The rules that no row explains, and those that the user does not have. `+get … +hlen` are all in between. */
    function differencesOf(rules: readonly string[], rows: readonly string[][]): string[] {
      const explained = rows.flatMap(([cell = '']) => {
        const [first = '', last] = cell.split(' … ');
        return last === undefined ? cell.split(', ') : rules.slice(rules.indexOf(first), rules.indexOf(last) + 1);
      });
      return [
        ...rules.filter((rule) => !explained.includes(rule)),
        ...explained.filter((rule) => !rules.includes(rule)),
      ];
    }

    it('explain each rule of the user that the page creates, and no other', () => {
      expect(differencesOf(granted(), described())).toEqual([]);
    });

    it('would be caught otherwise', () => {
      const rules = ['+get', '+set', '+del', '+ping'];
      expect(differencesOf(rules, [['+get … +del'], ['+info']])).toEqual(['+ping', '+info']);
    });
  });

  it('of guarantees tell the shortest TTL of each driver', () => {
    const redis = new RedisDriver({ url: 'redis://127.0.0.1' });
    const redlock = new RedlockDriver({
      servers: ['redis://127.0.0.1:1', 'redis://127.0.0.1:2', 'redis://127.0.0.1:3'],
    });
    const drivers = [new MemoryDriver(), new EtcdDriver({ hosts: ['127.0.0.1'] }), redlock, redis];
    const found = TABLES.flatMap(({ head, rows }) =>
      rows.filter(([first]) => first === 'Shortest TTL').map((cells) => ({ head, cells })),
    );
    expect(found.length).toBeGreaterThan(0);
    for (const { head, cells } of found) {
      for (const [index, column] of head.entries()) {
        if (index === 0) continue;
        const { capabilities } = drivers.find(({ name }) => column.toLowerCase().includes(name)) ?? redis;
        expect(toMilliseconds(cells[index]!.replace(' ', ''), column), column).toBe(capabilities.minTtl);
      }
    }
  });
});

describe('the links of the pages', () => {
  it('lead somewhere', () => {
    expect(PAGES.flatMap(({ text }) => linksOf(text)).length).toBeGreaterThan(50);
    expect(deadLinks(PAGES)).toEqual([]);
  });

  it.each([
    ['a file', '[a](nowhere.md)', 'nowhere.md'],
    ['a folder above', '[a](../../README.md)', '../../README.md'],
    ['a heading of the same page', '[a](#nothing)', '#nothing'],
    ['a heading of another page', '[a](errors.md#nothing)', 'errors.md#nothing'],
    ['a heading in code', '[a](#comment)\n\n```sh\n# comment\n```', '#comment'],
    ['a second heading where there is one', '## One\n\n[a](#one-1)', '#one-1'],
  ])('would be caught without %s', (_what, text, link) => {
    expect(deadLinks([{ path: 'docs/some.md', text }])).toEqual([`docs/some.md: ${link}`]);
  });

  it.each([
    ['a file', '[a](errors.md)'],
    ['a file of the code', '[a](../lib/index.ts)'],
    ['a heading of the same page', '## `One`: [two](x.md), three\n\n[a](#one-two-three)'.replace('x.md', 'errors.md')],
    ['a heading of another page', '[a](errors.md#errors-by-code)'],
    ['a second heading of a name', '## One\n\n## One\n\n[a](#one-1)'],
    ['another site', '[a](https://nestjs.com/nowhere#nothing)'],
  ])('may lead to %s', (_what, text) => {
    expect(deadLinks([{ path: 'docs/some.md', text }])).toEqual([]);
  });

  it('of the index lead to every page', () => {
    const index = PAGES.find(({ path }) => path === 'docs/README.md')!;
    const linked = new Set(linksOf(index.text).map((link) => `docs/${link.split('#')[0]}`));
    const pages = PAGES.map(({ path }) => path).filter((path) => !['README.md', index.path].includes(path));
    expect(pages.filter((path) => !linked.has(path))).toEqual([]);
  });
});

/** Says that something is still to come. */
const TO_COME =
  /\bnot (?:there )?yet\b|\bno \w+ yet\b|\bwill (?:come|be added|be supported|follow in)\b|\b(?:is|are) planned\b|\bcoming soon\b|\b(?:later|future|next) (?:version|release)\b|\bto be (?:done|implemented)\b|\bstill (?:missing|lacks?)\b|\bnot implemented\b/i;

/** Paragraphs, list items and rows that say of something exported that it is still to come. */
function denials({ path, text }: Page): string[] {
  const names = (Object.keys(ENTRIES) as Entry[]).flatMap((entry) => api.names(entry));
  const members = [
    ...api.interfaces(/Options$/).flatMap((name) => api.options(name)),
    ...WITH_TABLE.flatMap((name) => api.members(name)),
  ];
  // People name a driver without its last word: Redlock, etcd.
  const drivers = api.classes(/Driver$/).map((name) => name.replace('Driver', ''));
  const mentioned = (part: string): string | undefined =>
    names.find((name) => new RegExp(`\\b${name}\\b`).test(part)) ??
    members.find((name) => new RegExp(`\`(?:[\\w.]+\\.)?${name.replace('$', '\\$')}(?:\\(.*?\\))?\``).test(part)) ??
    drivers.find((name) => new RegExp(`\\b${name}\\b`, 'i').test(part));
  return text
    .replaceAll(/^```.*?^```$/gms, '')
    .split(/\n{2,}|\n(?=[|#>]|[-*] |\d+\. )/)
    .filter((part) => TO_COME.test(part) && mentioned(part) !== undefined)
    .map((part) => `${path}: ${mentioned(part)}: ${part.trim()}`);
}

describe('what is exported', () => {
  it('is not said to be still to come', () => {
    expect(PAGES.flatMap(denials)).toEqual([]);
  });

  it.each([
    ['RedlockDriver', 'The `RedlockDriver` is not there yet.'],
    ['LeaderElections', '- `LeaderElections` will come with the next version.'],
    ['OncePerTick', '| @OncePerTick | is planned |'],
    ['catchUp', 'Some text.\n\nThe option `catchUp: true`, or `catchUp`, is not implemented.'],
    ['members', 'A list of the members, `members()`,\nis still missing.'],
    [
      'Redis',
      '**Not yet:** Redis Sentinel and Cluster, Redlock over several servers, etcd, and a list of the members.',
    ],
  ])('would be caught, as with %s', (name, text) => {
    expect(denials({ path: 'docs/some.md', text })).toEqual([expect.stringMatching(`^docs/some.md: ${name}: `)]);
  });

  it.each(['A session of semaphores will come.', '`acquire` waits for a lock that is not free.'])(
    'may stand in "%s"',
    (text) => {
      expect(denials({ path: 'docs/some.md', text })).toEqual([]);
    },
  );
});

describe('the README', () => {
  it('has at most 250 lines', () => {
    expect(README.path).toBe('README.md');
    expect(README.text.split('\n').length).toBeLessThanOrEqual(250);
  });

  it('shows both commands of a fresh clone', () => {
    expect(README.text).toContain('npm ci && npm start');
    expect(README.text).toContain('npm ci && npm test');
  });
});

it('commands of npm on the pages exist', () => {
  const { scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { scripts: object };
  const more = ['CONTRIBUTING.md', 'test/README.md'].map((path) => ({ path, text: read(path) }));
  const named = [...PAGES, ...more].flatMap(({ path, text }) =>
    [...text.matchAll(/\bnpm (?:run ([\w:]+)|(start|test)\b)/g)].map(
      ([, run, script]) => [path, run ?? script!] as const,
    ),
  );
  expect(named.length).toBeGreaterThan(10);
  expect(named.filter(([, script]) => !(script in scripts))).toEqual([]);
});

it('pages that messages name exist, with the heading that they name', () => {
  const texts = messagesOfLib().map(({ text }) => text);
  const named = [...texts.join('\n').matchAll(/(docs\/\S+\.md) \w+ under "([^"]+)"/g)];
  expect(named.length).toBeGreaterThan(2);
  const links = named.map(([, path = '', heading = '']) => `${path}#${heading.toLowerCase().replaceAll(' ', '-')}`);
  expect(deadLinks([{ path: 'README.md', text: links.map((link) => `[a](${link})`).join(' ') }])).toEqual([]);
});
