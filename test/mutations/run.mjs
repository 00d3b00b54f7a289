// `npm run test:mutations`: breaks one rule of the safety core after the other, in a copy of the tree, and demands that the
// tests which are named for it fail. `npm run test:mutations -- watchdog` takes those whose name or file has one of the words.
import { execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { createVitest } from 'vitest/node';
import { mutations } from './mutations.mjs';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const COPIED = ['lib', 'test', 'docs', 'README.md', 'package.json', 'tsconfig.json', 'vitest.config.ts'];
const GENERATOR = 'lib/drivers/redis/scripts/generate.mjs';
const GENERATED = ['redis', 'redlock'].map((driver) => `lib/drivers/${driver}/scripts/scripts.generated.ts`);
/** Milliseconds after which tests hang for good: each of them has failed long before. */
const RUN_LIMIT = 300_000;
/** A failure that shows a mistake in the mutation, not a test that noticed it. */
const BROKEN = /^(SyntaxError|ReferenceError)\b|Error compiling script|Script attempted to access nonexistent/;

const words = process.argv.slice(2);
const wanted = mutations.filter(({ name, file }) =>
  words.length === 0 ? true : words.some((word) => `${file} ${name}`.includes(word)),
);
const copy = mkdtempSync(join(realpathSync(tmpdir()), 'mutations-'));
process.once('exit', () => rmSync(copy, { recursive: true, force: true }));
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1));

for (const path of COPIED) cpSync(join(ROOT, path), join(copy, path), { recursive: true });
symlinkSync(join(ROOT, 'node_modules'), join(copy, 'node_modules'));
const vitest = await createVitest('test', {
  root: copy,
  config: join(copy, 'vitest.config.ts'),
  watch: false,
  bail: 1,
  reporters: [{}],
});
/** What is wrong with tests that nothing was done to, by what names them. */
const baselines = new Map();
await checkAll();
await vitest.close();

async function checkAll() {
  const start = performance.now();
  const counts = { killed: 0, survived: 0, broken: 0 };
  for (const [index, mutation] of wanted.entries()) {
    const began = performance.now();
    const [verdict, detail] = await check(mutation);
    counts[verdict]++;
    const place = `${index + 1}/${wanted.length}`.padStart(String(wanted.length).length * 2 + 1);
    const took = `${((performance.now() - began) / 1000).toFixed(1)} s`.padStart(7);
    const shown = verdict === 'killed' ? verdict : verdict.toUpperCase();
    console.log(`${place} ${took}  ${shown.padEnd(8)}  ${mutation.name}\n${' '.repeat(20 + place.length)}${detail}`);
  }
  const { killed, survived, broken } = counts;
  const minutes = ((performance.now() - start) / 60_000).toFixed(1);
  console.log(`\n${killed} killed, ${survived} survived${broken ? `, ${broken} broken` : ''} (${minutes} min)`);
  if (survived + broken > 0 || wanted.length === 0) process.exitCode = 1;
}

/** `broken`: nothing can be said, because of a mistake in the table. */
async function check({ file, from, to, specs, grep }) {
  const original = readFileSync(join(copy, file), 'utf8');
  const times = original.split(from).length - 1;
  if (times !== 1) return ['broken', `the code moved: ${file} has this text ${times} times. Update the table.`];
  const mutated = original.replace(from, () => to);
  const mistake = file.endsWith('.ts') && syntaxErrorOf(mutated);
  if (mistake) return ['broken', `does not compile: ${mistake}`];
  const unfit = await baselineOf(specs, grep);
  if (unfit) return ['broken', `without the mutation ${unfit}`];

  write(file, mutated);
  const { failure, passed, mistakes } = await runTests(specs, grep);
  write(file, original);
  if (failure && !BROKEN.test(failure.message)) return ['killed', failure.name];
  if (failure || mistakes.length > 0) return ['broken', failure?.message ?? mistakes[0]];
  return ['survived', `${file}: ${passed} tests pass, of ${specs.join(', ')}`];
}

function syntaxErrorOf(text) {
  const [first] = ts.transpileModule(text, { reportDiagnostics: true }).diagnostics;
  return first && ts.flattenDiagnosticMessageText(first.messageText, ' ');
}

async function baselineOf(specs, grep) {
  const key = JSON.stringify([specs, grep]);
  if (!baselines.has(key)) {
    const { failure, passed, mistakes } = await runTests(specs, grep);
    if (failure) baselines.set(key, `a test fails: ${failure.name}: ${failure.message}`);
    else if (passed > 0 && mistakes.length > 0) baselines.set(key, `something else fails: ${mistakes[0]}`);
    else if (passed === 0) baselines.set(key, `no test runs: ${mistakes[0] ?? `${specs.join(', ')} ${grep ?? ''}`}`);
    else baselines.set(key, undefined);
  }
  return baselines.get(key);
}

function write(file, text) {
  writeFileSync(join(copy, file), text);
  const isScript = file.endsWith('.lua');
  if (isScript) execFileSync(process.execPath, [join(copy, GENERATOR)]);
  for (const changed of isScript ? GENERATED : [file]) vitest.invalidateFile(join(copy, changed));
}

/** The first test that failed, or how many passed; `mistakes`: what failed outside of tests. */
async function runTests(specs, grep) {
  // Else it would tell of earlier runs, too.
  vitest.state.filesMap.clear();
  if (grep === undefined) vitest.resetGlobalTestNamePattern();
  else vitest.setGlobalTestNamePattern(new RegExp(grep));
  const project = vitest.getRootProject();
  const hangs = setTimeout(() => {
    console.error(`The tests hang: ${specs.join(', ')} ${grep ?? ''}`);
    process.exit(1);
  }, RUN_LIMIT);
  const { testModules, unhandledErrors } = await vitest.runTestSpecifications(
    specs.map((spec) => project.createSpecification(join(copy, spec))),
  );
  clearTimeout(hangs);
  const tests = testModules.flatMap(({ children }) => Array.from(children.allTests()));
  const failed = tests.find((test) => test.result().state === 'failed');
  const [error] = failed?.result().errors ?? [];
  const suites = testModules.flatMap(({ children }) => Array.from(children.allSuites()));
  const failures = [...testModules, ...suites].flatMap((suite) => suite.errors()).concat(unhandledErrors);
  return {
    failure: failed && {
      name: `${failed.module.relativeModuleId}: ${failed.fullName}`,
      message: `${error.name}: ${error.message.split('\n')[0]}`,
    },
    passed: tests.filter((test) => test.result().state === 'passed').length,
    mistakes: failures.map(({ message }) => message.split('\n')[0]),
  };
}
