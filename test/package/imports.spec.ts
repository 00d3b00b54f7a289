import { execFile } from 'node:child_process';
import { copyFile, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ROOT } from './repository.js';

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

/** A file of each room of lib. */
const ROOMS = {
  core: 'core/clock.js',
  locks: 'locks/lease.js',
  leader: 'leader/election.js',
  schedule: 'schedule/fires.js',
  http: 'http/leader.guard.js',
  decorators: 'decorators/with-lock.js',
  nest: 'nest/module.js',
  drivers: 'drivers/memory/memory.driver.js',
  testing: 'testing/manual-clock.js',
  index: 'index.js',
} as const;

type Room = keyof typeof ROOMS;

/** The rooms that one room may import, itself apart, and the finding for any other. `lib/nest` wires all of them. */
const ARROWS: readonly { readonly room: Room; readonly to: readonly Room[]; readonly message: string }[] = [
  { room: 'core', to: [], message: 'lib/core imports nothing of the other folders.' },
  { room: 'locks', to: ['core'], message: 'lib/locks imports lib/core only.' },
  { room: 'leader', to: ['core', 'locks'], message: 'lib/leader imports lib/locks and lib/core only.' },
  { room: 'schedule', to: ['core', 'locks'], message: 'lib/schedule imports lib/locks and lib/core only.' },
  { room: 'http', to: ['core', 'leader'], message: 'lib/http imports lib/leader and lib/core only.' },
  {
    room: 'decorators',
    to: ['core', 'locks', 'leader', 'http'],
    message: 'lib/decorators imports lib/locks, lib/leader, lib/http and lib/core only.',
  },
  {
    room: 'nest',
    to: ['core', 'locks', 'leader', 'schedule', 'http', 'decorators', 'drivers'],
    message: 'lib/nest imports the concrete files, and nothing of lib/testing.',
  },
  { room: 'testing', to: ['core', 'locks'], message: 'lib/testing imports lib/locks and lib/core only.' },
];

const CLIENTS = ['ioredis', 'ioredis/built/Redis.js', '@grpc/grpc-js'];
const NEST = ['@nestjs/common', '@nestjs/core'];
const RXJS = ['rxjs', 'rxjs/operators'];

/** What files of a folder must not import beside that, and what the finding says. */
const RULES = [
  ...ARROWS.map(({ room, to, message }) => ({
    file: `lib/${ROOMS[room].replace(/\.js$/, '.ts')}`,
    refuses: roomsBut(room, to).map((other) => `../${ROOMS[other]}`),
    message,
  })),
  {
    file: 'lib/core/clock.ts',
    refuses: [...NEST, ...RXJS, ...CLIENTS, 'reflect-metadata'],
    message: 'lib/core knows no framework and no client library.',
  },
  {
    file: 'lib/locks/lease.ts',
    refuses: [...NEST, ...CLIENTS],
    message: 'lib/locks knows RxJS, but not Nest and no client library.',
  },
  {
    file: 'lib/leader/election.ts',
    refuses: [...NEST, ...CLIENTS],
    message: 'lib/leader knows RxJS, but not Nest and no client library.',
  },
  {
    file: 'lib/schedule/fires.ts',
    refuses: [...NEST, ...RXJS, ...CLIENTS],
    message: 'lib/schedule knows no framework and no client library.',
  },
  { file: 'lib/http/leader.guard.ts', refuses: CLIENTS, message: 'lib/http knows no client library.' },
  { file: 'lib/decorators/with-lock.ts', refuses: CLIENTS, message: 'lib/decorators knows no client library.' },
  {
    file: 'lib/testing/bench.ts',
    refuses: [...NEST, ...RXJS, ...CLIENTS],
    message: 'lib/testing knows no framework and no client library.',
  },
  {
    file: 'lib/drivers/redis/redis.driver.ts',
    refuses: roomsBut('drivers', ['core']).map((other) => `../../${ROOMS[other]}`),
    message: 'Drivers import lib/core and lib/drivers/common only.',
  },
  {
    file: 'lib/drivers/redis/redis.driver.ts',
    refuses: ['../memory/memory.driver.js', '../redlock/quorum.js', '../etcd/names.js', '../../drivers/memory/x.js'],
    message: 'Drivers never import each other.',
  },
  {
    file: 'lib/drivers/common/watchers.ts',
    refuses: ['../memory/memory.driver.js', '../redis/redis.driver.js', '../redlock/quorum.js', '../etcd/names.js'],
    message: 'Drivers never import each other.',
  },
  {
    file: 'lib/drivers/memory/deeper/file.ts',
    refuses: ['../../redis/connection/connection.js'],
    message: 'Drivers never import each other.',
  },
  {
    file: 'lib/drivers/redlock/redlock.driver.ts',
    refuses: ['../redis/redis.driver.js', '../memory/memory.driver.js', '../etcd/names.js'],
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
    refuses: [...NEST, ...RXJS],
    message: 'Drivers know no framework.',
  },
  {
    file: 'lib/nest/module.ts',
    refuses: [
      '../drivers/redis/redis.driver.js',
      '../drivers/etcd/names.js',
      '../drivers/common/watchers.js',
      ...CLIENTS,
    ],
    message: 'The main entry loads no client library: of the drivers lib/nest imports lib/drivers/memory only.',
  },
  {
    file: 'lib/index.ts',
    refuses: ['./drivers/redis/redis.driver.js', './drivers/memory/memory.driver.js', './testing/index.js', 'ioredis'],
    message: 'The main entry has no driver and loads no client library: those have entries of their own.',
  },
];

const WELL_BEHAVED = [
  ...ARROWS.map(({ room, to }) => ({
    file: `lib/${room}/file.ts`,
    imports: ['./other.js', 'node:crypto', ...to.map((other) => `../${ROOMS[other]}`)],
  })),
  { file: 'lib/locks/lock.service.ts', imports: RXJS },
  { file: 'lib/leader/leader.service.ts', imports: RXJS },
  { file: 'lib/http/leader.guard.ts', imports: NEST },
  { file: 'lib/decorators/current-lock.ts', imports: NEST },
  { file: 'lib/nest/module.ts', imports: [...NEST, ...RXJS] },
  { file: 'lib/drivers/redis/redis.driver.ts', imports: ['../../core/errors.js', '../common/listeners.js', 'ioredis'] },
  { file: 'lib/drivers/redis/failover/file.ts', imports: ['../../../core/errors.js', '../commands/script-call.js'] },
  { file: 'lib/drivers/redlock/server.ts', imports: ['../redis/connection/connection.js', '../common/majority.js'] },
  { file: 'lib/index.ts', imports: ['./locks/lock.js', './nest/module.js', 'reflect-metadata'] },
];

function roomsBut(room: Room, others: readonly Room[]): Room[] {
  return (Object.keys(ROOMS) as Room[]).filter((other) => other !== room && !others.includes(other));
}

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

  it.each([
    ['values', (other: string) => `import { value } from './${other}.js';\nexport const own = () => value;\n`],
    ['types', (other: string) => `import type { Value } from './${other}.js';\nexport type Own = Value;\n`],
  ])('is no circle, of %s', async (_kind, importing) => {
    await write('lib/core/one.ts', importing('other'));
    await write('lib/core/other.ts', importing('third'));
    await write('lib/core/third.ts', importing('one'));
    const { failed, diagnostics } = await oxlint(folder, 'lib');
    expect(failed).toBe(true);
    expect(diagnostics.map(({ code }) => code)).toContain('import(no-cycle)');
  });

  it('holds in lib', async () => {
    const { diagnostics } = await oxlint(ROOT, 'lib');
    expect(diagnostics.filter(({ code }) => code === RULE || code.includes('no-cycle'))).toEqual([]);
  });
});

describe('the clock of the process', () => {
  it.each([
    ['a timer', 'export const start = (task: () => void) => setTimeout(task, 5);', 'eslint(no-restricted-globals)'],
    [
      'an interval',
      'export const start = (task: () => void) => setInterval(task, 5);',
      'eslint(no-restricted-globals)',
    ],
    ['a monotonic time', 'export const now = () => performance.now();', 'eslint(no-restricted-globals)'],
    ['a monotonic time under a name', 'export const { now } = performance;', 'eslint(no-restricted-globals)'],
    ['a high resolution time', 'export const now = () => process.hrtime.bigint();', 'eslint(no-restricted-properties)'],
    ['a wall time', 'export const now = () => Date.now();', 'eslint(no-restricted-properties)'],
    ['a random number', 'export const random = () => Math.random();', 'eslint(no-restricted-properties)'],
    ['randomness that is passed on', 'export const random = Math.random;', 'eslint(no-restricted-properties)'],
    ['a wall time under a name', 'export const { now } = Date;', 'eslint(no-restricted-properties)'],
    ['an imported performance', using('node:perf_hooks').replaceAll('value as', 'performance as'), RULE],
    ['a sleep', using('node:timers/promises').replaceAll('value as', 'setTimeout as'), RULE],
  ])('is touched in lib/core/clock.ts only: %s', async (_what, text, code) => {
    const rooms = ['core', 'locks', 'leader', 'schedule', 'http', 'decorators', 'nest', 'testing'];
    const drivers = ['common', 'memory', 'redis', 'redis/connection', 'redlock', 'etcd', 'etcd/client'];
    const files = [...rooms, ...drivers.map((driver) => `drivers/${driver}`)].map((name) => `lib/${name}/file.ts`);
    await Promise.all(files.map((file) => write(file, `${text}\n`)));
    const { diagnostics } = await oxlint(folder, 'lib');
    expect(diagnostics.map((finding) => finding.code)).toEqual(files.map(() => code));
    expect(diagnostics.map(({ filename }) => filename).toSorted()).toEqual(files.toSorted());
  });

  it('is touched in lib/core/clock.ts', async () => {
    await write('lib/core/clock.ts', 'export const now = () => performance.now() + Date.now() + Math.random();\n');
    expect(await oxlint(folder, 'lib')).toMatchObject({ failed: false });
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
