import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import ts from 'typescript';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RedisServer } from '../support/servers/redis-server.js';
import { Consumer, npm } from './consumer.js';
import { codeBlocks, documentedUser, PAGES } from './pages.js';
import { ROOT } from './repository.js';

interface Manifest {
  readonly main: string;
  readonly types: string;
  readonly exports: Record<string, string | Record<string, string>>;
  readonly typesVersions: { readonly '*': Record<string, string[]> };
}

const NAMES = ['memory', 'redis', 'etcd', 'testing'];
const ENTRIES = ['nestjs-dist-lock', ...NAMES.map((name) => `nestjs-dist-lock/${name}`)];
const GRPC = ['@grpc/grpc-js@1.14.7', '@grpc/proto-loader@0.8.1'];

interface Application {
  readonly name: string;
  readonly type: 'commonjs' | 'module';
  readonly nest: string;
  readonly schedule: string;
  readonly ioredis: string;
  /** How it is compiled to run. */
  readonly build: object;
  /** How else such an application may be compiled. */
  readonly modes: readonly {
    readonly module: string;
    readonly moduleResolution: string;
    readonly ignoreDeprecations?: string;
  }[];
}

const APPLICATIONS: readonly Application[] = [
  {
    name: 'a CommonJS application on Nest 11 with ioredis 5',
    type: 'commonjs',
    nest: '11.2.10',
    schedule: '6.1.3',
    ioredis: '5.11.1',
    build: { module: 'commonjs' },
    modes: [
      { module: 'commonjs', moduleResolution: 'node10', ignoreDeprecations: '6.0' },
      { module: 'commonjs', moduleResolution: 'bundler' },
      { module: 'node16', moduleResolution: 'node16' },
      { module: 'nodenext', moduleResolution: 'nodenext' },
    ],
  },
  {
    name: 'an ESM application on Nest 12 with ioredis 6',
    type: 'module',
    nest: '12.5.1',
    schedule: '12.0.2',
    ioredis: '6.0.0',
    build: { module: 'nodenext' },
    modes: [
      { module: 'esnext', moduleResolution: 'bundler' },
      { module: 'node16', moduleResolution: 'node16' },
      { module: 'nodenext', moduleResolution: 'nodenext' },
    ],
  },
];

/** What the application in `app/` prints when everything works. */
const REPORT = {
  inside: 1,
  tokens: 10,
  refused: true,
  holder: 'first',
  busy: '409',
  before: ['200', '503 3'],
  ticks: [true, false],
  after: '200',
};

/** Loads every entry in both ways and prints which names are not the same thing. */
const ONE_COPY = `
  const differences = [];
  for (const entry of ${JSON.stringify(ENTRIES)}) {
    const [required, imported] = await load(entry);
    const names = Object.keys(imported).filter((name) => name !== 'default' && name !== 'module.exports');
    if (names.length === 0) differences.push(entry + ' is empty');
    for (const name of names) if (required[name] !== imported[name]) differences.push(entry + ' ' + name);
  }
  console.log(JSON.stringify(differences));
`;

/** Finds what a tool finds that does not know the condition 'module-sync', such as Jest. */
const AS_IF_WITHOUT_MODULE_SYNC = `
  const Module = require('node:module');
  const { join } = require('node:path');
  const folder = join(__dirname, 'node_modules/nestjs-dist-lock');
  const manifest = require(join(folder, 'package.json'));
  const resolve = Module._resolveFilename;
  Module._resolveFilename = function (request, ...rest) {
    const entry = /^nestjs-dist-lock(\\/.*)?$/.exec(request);
    return entry ? join(folder, manifest.exports['.' + (entry[1] ?? '')].default) : resolve.call(this, request, ...rest);
  };
`;

const INSTALL_TIME = 180_000;
/** Longer than the programs that a test runs are given. */
const PATIENT = { timeout: 120_000 };

let tarballs: string;
let tarball: string;
let files: string[];
let manifest: Manifest;
let server: RedisServer;
/** For the Redis user of the documentation, who may do what the package needs and no more. */
let onRedis: { REDIS_URL: string; NAMESPACE: string };

beforeAll(async () => {
  manifest = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8')) as Manifest;
  if (!existsSync(join(ROOT, manifest.main))) throw new Error('dist is missing: run npm run build first.');
  tarballs = await mkdtemp(join(tmpdir(), 'dist-lock-pack-'));
  // Without scripts: npm test has built before, and a build now would take the files away from others that run.
  const output = await npm(ROOT, 'pack', '--json', '--ignore-scripts', '--pack-destination', tarballs);
  const [packed] = JSON.parse(output) as [{ filename: string; files: { path: string }[] }];
  tarball = join(tarballs, packed.filename);
  files = packed.files.map(({ path }) => path);
  const { name, password, namespace, rules } = documentedUser();
  server = await RedisServer.start({ args: ['--user', name, ...rules] });
  onRedis = { REDIS_URL: `redis://${name}:${password}@127.0.0.1:${server.port}`, NAMESPACE: namespace };
}, INSTALL_TIME);

afterAll(async () => {
  await server?.stop();
  await rm(tarballs, { recursive: true, force: true });
});

describe('the tarball', () => {
  it('holds the build, the manifest and what people read, and nothing else', () => {
    const outside = files.filter((path) => !path.startsWith('dist/'));
    expect(outside.sort()).toEqual(['CHANGELOG.md', 'LICENSE', 'README.md', 'package.json']);
    const foreign = files.filter((path) => {
      const source = /^dist\/(?:esm|cjs)\/(.+?)\.(?:js|js\.map|d\.ts)$/.exec(path)?.[1];
      return path.startsWith('dist/') && !(source && existsSync(join(ROOT, 'lib', `${source}.ts`)));
    });
    expect(foreign).toEqual(['dist/cjs/package.json']);
  });

  it('has every file that the manifest names', () => {
    const { main, types, exports, typesVersions } = manifest;
    const targets = Object.values(exports).flatMap((target) =>
      typeof target === 'string' ? [target] : Object.values(target),
    );
    const named = [main, types, ...targets, ...Object.values(typesVersions['*']).flat()];
    expect(named.filter((path) => !files.includes(path.replace('./', '')))).toEqual([]);
    expect(Object.keys(exports).filter((path) => path !== './package.json')).toEqual(
      ENTRIES.map((entry) => entry.replace('nestjs-dist-lock', '.')),
    );
    expect(targets.filter((path) => path.endsWith('.js')).filter(withoutTypes)).toEqual([]);
  });

  function withoutTypes(path: string): boolean {
    return !files.includes(path.replace('./', '').replace(/\.js$/, '.d.ts'));
  }
});

describe.each(APPLICATIONS)('$name', ({ type, nest, schedule, ioredis, build, modes }) => {
  let consumer: Consumer;

  beforeAll(async () => {
    consumer = await Consumer.create(type);
    await consumer.install(
      tarball,
      ...['common', 'core', 'platform-express'].map((name) => `@nestjs/${name}@${nest}`),
      `@nestjs/schedule@${schedule}`,
      'reflect-metadata@0.2.2',
      'rxjs@7.8.2',
      '@types/node@20.19.43',
    );
  }, INSTALL_TIME);

  afterAll(() => consumer?.remove());

  async function expectReport(args: string[], env: NodeJS.ProcessEnv): Promise<void> {
    const { code, output, errors } = await consumer.node(args, env);
    expect(code, errors || 'It did not end by itself.').toBe(0);
    expect(JSON.parse(output)).toEqual(REPORT);
  }

  it('needs neither ioredis nor gRPC nor @nestjs/microservices for locks in memory', PATIENT, async () => {
    for (const name of ['ioredis', '@grpc', '@nestjs/microservices']) {
      expect(existsSync(join(consumer.folder, 'node_modules', name)), name).toBe(false);
    }
    expect(await consumer.compile({ ...build, skipLibCheck: true }, ['main.ts'])).toEqual([]);
    await expectReport(['dist/main.js'], {});

    for (const [entry, missing] of [
      ['redis', 'ioredis'],
      ['etcd', '@grpc/grpc-js'],
    ]) {
      const { code, errors } = await consumer.node(['-e', `require('nestjs-dist-lock/${entry}')`]);
      expect(code).toBe(1);
      expect(errors).toContain(`Cannot find package '${missing}'`);
    }
  });

  describe('with ioredis and gRPC', () => {
    beforeAll(async () => {
      await consumer.install(`ioredis@${ioredis}`, ...GRPC);
      expect(await consumer.compile({ ...build, skipLibCheck: true })).toEqual([]);
    }, INSTALL_TIME);

    it('locks, leads, hands over and ends by itself, on Redis', PATIENT, async () => {
      await expectReport(['dist/main.js'], onRedis);
    });

    it('gets one copy of everything, imported or required', PATIENT, async () => {
      await consumer.write(
        'one-copy.mjs',
        `import { createRequire } from 'node:module';
         const require = createRequire(import.meta.url);
         const load = async (entry) => { const imported = await import(entry); return [require(entry), imported]; };
         ${ONE_COPY}`,
      );
      await consumer.write(
        'one-copy.cjs',
        `const load = async (entry) => { const required = require(entry); return [required, await import(entry)]; };
         (async () => { ${ONE_COPY} })();`,
      );
      for (const file of ['one-copy.mjs', 'one-copy.cjs']) {
        const { code, output, errors } = await consumer.node([file]);
        expect(code, errors).toBe(0);
        expect(JSON.parse(output), file).toEqual([]);
      }
    });

    it.each(modes)('is typed with $module and $moduleResolution', PATIENT, async (mode) => {
      expect(await consumer.compile({ ...mode, skipLibCheck: true, noEmit: true })).toEqual([]);
    });

    it('has declarations that compile themselves', PATIENT, async () => {
      const problems = await consumer.compile({ ...build, skipLibCheck: false, noEmit: true });
      // What Nest's own declarations lack is not ours to mend.
      expect(problems.filter((line) => !/^node_modules\/(?!nestjs-dist-lock\/)/.test(line))).toEqual([]);
    });

    // An ESM application loads the ESM build in every tool.
    if (type === 'commonjs') {
      it('works in tools that load the CommonJS build', PATIENT, async () => {
        await consumer.write('without-module-sync.cjs', AS_IF_WITHOUT_MODULE_SYNC);
        const probe = "console.log(require.resolve('nestjs-dist-lock'))";
        const { output } = await consumer.node(['-r', './without-module-sync.cjs', '-e', probe]);
        expect(output).toContain('dist/cjs/index.js');
        await expectReport(['-r', './without-module-sync.cjs', 'dist/main.js'], onRedis);
      });
    }

    it('has declarations in every resolution, of the format of the importer', () => {
      const { CommonJS, ESNext, Node16, NodeNext } = ts.ModuleKind;
      const { Bundler, Node10, ...kinds } = ts.ModuleResolutionKind;
      const found = (
        module: ts.ModuleKind,
        moduleResolution: ts.ModuleResolutionKind,
        importer: ts.ResolutionMode,
      ): string[] =>
        ENTRIES.map((entry) => {
          const options = { module, moduleResolution };
          const from = join(consumer.folder, 'src/main.ts');
          const { resolvedModule } = ts.resolveModuleName(entry, from, options, ts.sys, undefined, undefined, importer);
          return resolvedModule?.resolvedFileName.split('/nestjs-dist-lock/')[1] ?? 'not found';
        });
      const declarations = (format: 'esm' | 'cjs'): string[] =>
        ['index', 'drivers/memory/index', 'drivers/redis/index', 'drivers/etcd/index', 'testing/index'].map(
          (path) => `dist/${format}/${path}.d.ts`,
        );
      expect(found(CommonJS, Node10, undefined)).toEqual(declarations('cjs'));
      expect(found(Node16, kinds.Node16, CommonJS)).toEqual(declarations('cjs'));
      expect(found(Node16, kinds.Node16, ESNext)).toEqual(declarations('esm'));
      // TypeScript does not know 'module-sync', which is what Node follows here; both halves declare the same.
      expect(found(NodeNext, kinds.NodeNext, CommonJS)).toEqual(declarations('cjs'));
      expect(found(NodeNext, kinds.NodeNext, ESNext)).toEqual(declarations('esm'));
      expect(found(ESNext, Bundler, ESNext)).toEqual(declarations('esm'));
    });

    it('runs the tests that the pages show, and compiles all of their code', PATIENT, async () => {
      const blocks = PAGES.flatMap(({ path, text }) =>
        codeBlocks(text)
          .filter(({ language }) => language === 'ts')
          .map(({ line, code }) => ({ source: `${path.replaceAll(/\W/g, '-')}-${line}.ts`, code })),
      );
      await Promise.all(blocks.map(({ source, code }) => consumer.write(`src/${source}`, code)));
      const sources = blocks.map(({ source }) => source);
      expect(await consumer.compile({ ...build, skipLibCheck: true, outDir: 'pages' }, sources)).toEqual([]);
      const tests = blocks.filter(({ code }) => code.includes("from 'node:test'"));
      expect(tests.length).toBeGreaterThanOrEqual(3);
      const compiled = tests.map(({ source }) => `pages/${source.replace('.ts', '.js')}`);
      const { code, output } = await consumer.node(['--test', ...compiled]);
      expect(code, output).toBe(0);
    });

    it('tells nothing of the machine that built it', async () => {
      const folder = join(consumer.folder, 'node_modules/nestjs-dist-lock');
      const texts = await Promise.all(files.map((path) => readFile(join(folder, path), 'utf8')));
      expect(files.filter((_, index) => texts[index]!.includes(ROOT))).toEqual([]);
      const maps = files.flatMap((path, index) => (path.endsWith('.map') ? [texts[index]!] : []));
      const sources = maps.map((text) => JSON.parse(text) as { sources: string[]; sourcesContent?: string[] });
      expect(
        sources.every(({ sources: [source], sourcesContent }) => source?.startsWith('../') && sourcesContent),
      ).toBe(true);
    });
  });
});
