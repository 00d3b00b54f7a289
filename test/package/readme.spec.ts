import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import * as main from 'nestjs-dist-lock';
import * as etcd from 'nestjs-dist-lock/etcd';
import * as memory from 'nestjs-dist-lock/memory';
import * as redis from 'nestjs-dist-lock/redis';
import * as testing from 'nestjs-dist-lock/testing';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';
import { toMilliseconds } from '../../lib/core/duration.js';
import { resolveOptions } from '../../lib/nest/options.js';
import { ROOT } from './consumer.js';
import { errorClasses, ERRORS } from './errors.js';
import { codeBlocks, deadAnchors, linksOf, README, section, table } from './readme.js';

const BLOCKS = codeBlocks(README).filter(({ language }) => language === 'ts');

/** Compiles texts as if they were files of a folder in this repository; what TypeScript complains of. */
function compile(texts: ReadonlyMap<string, string>): string[] {
  const config = join(ROOT, 'tsconfig.json');
  const { options } = ts.parseJsonConfigFileContent(ts.readConfigFile(config, ts.sys.readFile).config, ts.sys, ROOT);
  const host = ts.createCompilerHost(options);
  const { fileExists, readFile, getSourceFile } = host;
  host.fileExists = (path) => texts.has(path) || fileExists(path);
  host.readFile = (path) => texts.get(path) ?? readFile(path);
  host.getSourceFile = (path, languageVersion, ...rest) => {
    const text = texts.get(path);
    if (text === undefined) return getSourceFile(path, languageVersion, ...rest);
    return ts.createSourceFile(path, text, languageVersion);
  };
  const program = ts.createProgram([...texts.keys()], { ...options, noEmit: true }, host);
  return [...texts.keys()].flatMap((path) => {
    const file = program.getSourceFile(path)!;
    return [...program.getSyntacticDiagnostics(file), ...program.getSemanticDiagnostics(file)].map((diagnostic) => {
      const { line } = file.getLineAndCharacterOfPosition(diagnostic.start ?? 0);
      return `README.md:${line + 1}: ${ts.flattenDiagnosticMessageText(diagnostic.messageText, '\n')}`;
    });
  });
}

/** A file for each block, in which the code stands in the lines that it has in the README. */
function asFiles(blocks: typeof BLOCKS): Map<string, string> {
  const folder = join(dirname(import.meta.filename), 'readme-blocks');
  return new Map(blocks.map(({ line, code }) => [join(folder, `line-${line}.ts`), '\n'.repeat(line - 1) + code]));
}

describe('the README', () => {
  it('has TypeScript that compiles', { timeout: 60_000 }, () => {
    expect(BLOCKS.length).toBeGreaterThan(15);
    expect(compile(asFiles(BLOCKS))).toEqual([]);
  });

  it('would be caught with TypeScript that does not', { timeout: 60_000 }, () => {
    const code =
      "import { WithLock } from 'nestjs-dist-lock';\nexport class A {\n  @WithLock('k')\n  sync(): void {}\n}\n";
    expect(compile(asFiles([{ language: 'ts', line: 40, code }]))).toEqual([
      expect.stringMatching(/^README\.md:42: .*not assignable/s),
    ]);
  });

  it.each(Object.entries({ main, etcd, memory, redis, testing }))(
    'names all that the entry "%s" exports',
    (_entry, names) => {
      expect(Object.keys(names).filter((name) => !new RegExp(`\\b${name}\\b`).test(README))).toEqual([]);
    },
  );

  it('has a table of errors that tells the truth', () => {
    expect(table('## Errors').map((cells) => cells.slice(0, 3))).toEqual(
      ERRORS.map(({ name, code, statusCode }) => [name, code, String(statusCode)]),
    );
    expect(ERRORS.map(({ name }) => name).sort()).toEqual(errorClasses().sort());
  });

  it('has a table of options that tells the truth', () => {
    const { lock, waiting, elections, grace, failFast, instance } = resolveOptions({});
    const election = elections[0]!;
    const real: Record<string, unknown> = {
      allowMemoryInProduction: false,
      failFast,
      namespace: lock.namespace,
      'instance.allowedUrls': [],
      'instance.metadata': instance.metadata,
      'lock.ttl': lock.ttl,
      'lock.wait': lock.wait,
      'lock.maxWaiting': waiting.inAll,
      'lock.maxWaitingPerKey': waiting.perKey,
      'elections[0].name': election.name,
      'elections[0].priority': election.priority,
      'elections[0].leaseDuration': election.leaseDuration,
      'elections[0].renewDeadline': election.renewDeadline,
      'elections[0].retryPeriod': election.retryPeriod,
      'elections[0].autoCampaign': election.autoCampaign,
      'elections[0].releaseOnShutdown': election.releaseOnShutdown,
      'shutdown.grace': grace,
      isGlobal: true,
    };
    const rows = new Map(table('## Options').map(([option = '', value = '']) => [option, value]));
    const withoutDefault = [
      'driver',
      'instance.id',
      'instance.url',
      'lock.warnAfter',
      'name',
      'elections[0].namespace',
    ];
    expect([...rows.keys()].sort()).toEqual([...Object.keys(real), ...withoutDefault].sort());
    for (const [option, expected] of Object.entries(real)) {
      const written = rows.get(option)!;
      const value: unknown = /^'\d/.test(written)
        ? toMilliseconds(written.replaceAll("'", ''), option)
        : JSON.parse(written.replaceAll("'", '"'));
      expect(value, option).toEqual(expected);
    }
  });

  it('has links that lead somewhere', () => {
    expect(deadAnchors(README)).toEqual([]);
    const files = linksOf(README).filter((link) => !/^(#|https:)/.test(link));
    expect(files.filter((file) => !existsSync(join(ROOT, file)))).toEqual([]);
  });

  it('shows both commands in the first screen', () => {
    const first = README.split('\n').slice(0, 30).join('\n');
    expect(first).toContain('npm ci && npm start');
    expect(first).toContain('npm ci && npm test');
    expect(section('## Redis permissions')).toContain('ACL SETUSER');
  });
});
