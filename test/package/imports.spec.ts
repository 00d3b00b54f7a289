import { execFile } from 'node:child_process';
import { copyFile, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const OXLINT = join(ROOT, 'node_modules/oxlint/bin/oxlint');
const RULE = 'eslint(no-restricted-imports)';

interface Diagnostic {
  readonly code: string;
  readonly help: string;
  readonly filename: string;
  readonly labels: readonly { readonly span: { readonly line: number } }[];
}

interface Verdict {
  readonly failed: boolean;
  readonly diagnostics: readonly Diagnostic[];
}

/** Lints one folder with the configuration that lies at its root. */
function oxlint(folder: string, ...paths: string[]): Promise<Verdict> {
  return new Promise((resolve, reject) => {
    execFile(
      process.execPath,
      [OXLINT, '--format', 'json', ...paths],
      { cwd: folder, maxBuffer: 2 ** 26 },
      (error, stdout) => {
        try {
          resolve({ failed: error !== null, ...(JSON.parse(stdout) as Pick<Verdict, 'diagnostics'>) });
        } catch {
          reject(new Error(`oxlint printed no JSON: ${stdout}`, { cause: error }));
        }
      },
    );
  });
}

/** One rule of the configuration: what files of a folder must not import, and what the finding says. */
const RULES = [
  {
    file: 'lib/core/lease.ts',
    refuses: [
      '../drivers/memory/memory.driver.js',
      '../leader/election.js',
      '../decorators/with-lock.js',
      '../nest/module.js',
      '../testing/manual-clock.js',
      '../index.js',
    ],
    message: 'lib/core imports nothing of the other folders.',
  },
  {
    file: 'lib/core/lease.ts',
    refuses: ['@nestjs/common', 'rxjs', 'rxjs/operators', 'ioredis', '@grpc/grpc-js', 'reflect-metadata'],
    message: 'lib/core knows no framework and no client library.',
  },
  {
    file: 'lib/drivers/redis/redis.driver.ts',
    refuses: [
      '../../leader/election.js',
      '../../decorators/with-lock.js',
      '../../nest/module.js',
      '../../testing/manual-clock.js',
      '../../index.js',
    ],
    message: 'Drivers import lib/core only.',
  },
  {
    file: 'lib/drivers/redis/redis.driver.ts',
    refuses: ['../memory/memory.driver.js', '../redlock/quorum.js', '../etcd/session.js', '../../drivers/memory/x.js'],
    message: 'Drivers never import each other.',
  },
  {
    file: 'lib/drivers/memory/deeper/file.ts',
    refuses: ['../../redis/connection.js'],
    message: 'Drivers never import each other.',
  },
  {
    file: 'lib/drivers/redlock/redlock.driver.ts',
    refuses: ['../redis/redis.driver.js', '../memory/memory.driver.js', '../etcd/session.js'],
    message:
      'Drivers never import each other; Redlock has a connection and a fact store of lib/drivers/redis for each server.',
  },
  {
    file: 'lib/drivers/redis/index.ts',
    refuses: ['../memory/memory.driver.js', '../etcd/etcd.driver.js'],
    message: 'The entry for Redis has the drivers on Redis.',
  },
  {
    file: 'lib/drivers/memory/memory.driver.ts',
    refuses: ['@nestjs/common', 'rxjs', 'rxjs/operators'],
    message: 'Drivers know no framework.',
  },
  {
    file: 'lib/leader/election.ts',
    refuses: [
      '../drivers/memory/memory.driver.js',
      '../decorators/leader-only.js',
      '../nest/module.js',
      '../testing/manual-clock.js',
      '../index.js',
    ],
    message: 'lib/leader imports lib/core only.',
  },
  {
    file: 'lib/leader/election.ts',
    refuses: ['@nestjs/common', '@nestjs/core', 'ioredis'],
    message: 'lib/leader knows RxJS, but not Nest and no client library.',
  },
  {
    file: 'lib/decorators/with-lock.ts',
    refuses: [
      '../drivers/memory/memory.driver.js',
      '../testing/manual-clock.js',
      '../index.js',
      '../nest/module.js',
      '../nest/options.js',
      '../nest/registration.js',
      '../nest/start-checks.js',
    ],
    message: 'lib/decorators imports core, leader, and of nest the injection names, the guard and the service types.',
  },
  {
    file: 'lib/decorators/with-lock.ts',
    refuses: ['ioredis', '@grpc/grpc-js'],
    message: 'lib/decorators knows no client library.',
  },
  {
    file: 'lib/nest/module.ts',
    refuses: ['../testing/manual-clock.js', '../index.js', './index.js'],
    message: 'lib/nest imports the concrete files, and nothing of lib/testing.',
  },
  {
    file: 'lib/nest/module.ts',
    refuses: ['../drivers/redis/redis.driver.js', '../drivers/etcd/session.js', 'ioredis', 'ioredis/built/Redis.js'],
    message: 'The main entry loads no client library: of the drivers lib/nest imports lib/drivers/memory only.',
  },
  {
    file: 'lib/index.ts',
    refuses: ['./drivers/redis/redis.driver.js', './drivers/memory/memory.driver.js', './testing/index.js', 'ioredis'],
    message: 'The main entry has no driver and loads no client library: those have entries of their own.',
  },
];

const WELL_BEHAVED = [
  { file: 'lib/core/lease.ts', imports: ['./clock.js', 'node:crypto'] },
  { file: 'lib/drivers/redis/redis.driver.ts', imports: ['../../core/errors.js', './connection.js', 'ioredis'] },
  { file: 'lib/drivers/redis/deeper/file.ts', imports: ['../../../core/errors.js', '../connection.js'] },
  { file: 'lib/drivers/memory/memory.driver.ts', imports: ['../../core/clock.js'] },
  { file: 'lib/leader/election.ts', imports: ['../core/lease.js', './leadership.js', 'rxjs'] },
  {
    file: 'lib/decorators/with-lock.ts',
    imports: [
      '../core/errors.js',
      '../leader/leader.service.js',
      '../nest/injection.js',
      '../nest/leader.guard.js',
      '../nest/lock.service.js',
      '@nestjs/common',
    ],
  },
  {
    file: 'lib/nest/module.ts',
    imports: [
      '../core/clock.js',
      '../decorators/wrap-method.js',
      '../drivers/memory/memory.driver.js',
      '../leader/election.js',
      '@nestjs/common',
      '@nestjs/core',
      'rxjs',
    ],
  },
  { file: 'lib/index.ts', imports: ['./core/lock.js', './nest/module.js', 'reflect-metadata'] },
];

/** A module that uses each import, one on each line. */
const using = (...specifiers: string[]): string =>
  [
    ...specifiers.map((specifier, index) => `import { value as value${index} } from '${specifier}';`),
    `export const all = [${specifiers.map((_, index) => `value${index}`).join(', ')}];`,
    '',
  ].join('\n');

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'dist-lock-imports-'));
  await copyFile(join(ROOT, '.oxlintrc.json'), join(folder, '.oxlintrc.json'));
  // The configuration has a plugin.
  await symlink(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
});

afterEach(() => rm(folder, { recursive: true, force: true }));

async function write(file: string, text: string): Promise<void> {
  const path = join(folder, file);
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, text);
}

describe('the direction of imports', () => {
  it.each(RULES)('$file: $message', async ({ file, refuses, message }) => {
    await write(file, using(...refuses));
    const { failed, diagnostics } = await oxlint(folder, 'lib');
    expect(failed).toBe(true);
    expect(diagnostics.map(({ code, filename, help, labels }) => [code, filename, help, labels[0]?.span.line])).toEqual(
      refuses.map((_, index) => [RULE, file, message, index + 1]),
    );
  });

  it.each([
    ['a type', "import type { Value } from '../nest/module.js';\nexport type Own = Value;\n"],
    ['a re-export', "export { value } from '../nest/module.js';\n"],
    ['a re-export of everything', "export * from '../nest/module.js';\n"],
    ['a side effect', "import '../nest/module.js';\n"],
    ['a dynamic import', "export const load = () => import('../nest/module.js');\n"],
  ])('catches %s as well', async (_form, text) => {
    await write('lib/core/file.ts', text);
    const { failed, diagnostics } = await oxlint(folder, 'lib');
    expect(failed).toBe(true);
    expect(diagnostics.map(({ code }) => code)).toContain(RULE);
  });

  it('lets well-behaved files pass', async () => {
    await Promise.all(WELL_BEHAVED.map(({ file, imports }) => write(file, using(...imports))));
    expect(await oxlint(folder, 'lib')).toMatchObject({ failed: false, diagnostics: [] });
  });

  it('holds in lib', async () => {
    const { diagnostics } = await oxlint(ROOT, 'lib');
    expect(diagnostics.filter(({ code }) => code === RULE || code.includes('no-cycle'))).toEqual([]);
  });
});

describe('a regular expression that takes more than linear time', () => {
  it.each([
    ['moves its start over what it has matched', String.raw`/\s*,\s*/`, 'regexp(no-super-linear-move)'],
    ['takes the end of a path off', String.raw`/\/+$/`, 'regexp(no-super-linear-move)'],
    ['tries each way to share what it matches', String.raw`/^(?:a+)+$/`, 'regexp(no-super-linear-backtracking)'],
  ])('is refused in lib when it %s', async (_why, pattern, code) => {
    await write('lib/core/file.ts', `export const parts = (text: string) => text.split(${pattern});\n`);
    const { failed, diagnostics } = await oxlint(folder, 'lib');
    expect([failed, diagnostics.map((finding) => finding.code)]).toEqual([true, [code]]);
  });
});
