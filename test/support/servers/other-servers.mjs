// Other servers than the machine's own, from Debian's mirror: fetched with the libraries they need into the cache below
// node_modules, and started with those. Nothing is installed, and nobody has to be root. `npm run test:servers` tests with
// all of them; run as a program (npm's pretest), this fetches what `npm test` takes a look at, where that is possible.
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, realpathSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, realpath, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join, sep } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { gunzipSync } from 'node:zlib';

const run = promisify(execFile);

const MIRROR = process.env.DEBIAN_MIRROR ?? 'https://deb.debian.org/debian';
const CACHE = fileURLToPath(new URL('../../../node_modules/.cache/servers/', import.meta.url));

/** Milliseconds for all the downloads of a run, for the first answer of the mirror and for a server that tells its version. */
const PATIENCE = 90_000;
const FIRST_ANSWER = 10_000;
const VERSION = 10_000;

/** Milliseconds after which a folder that is not finished is no longer at work. */
const LEFTOVER = 600_000;

/** What of a server's dependencies is needed to run it in the foreground. */
const NEEDED = /^(lib|lua-|zlib)|-tools$/;

/**
 * By the name of their folder in the cache. Each suite has one version at a time, which grows. `tests` is what of
 * test-servers.mjs runs on it. Redis 6.2 is in none of them; what works on 6.0 needs nothing newer, and where that says
 * that it were 6.2 (`says`: text in the program, and what takes its place, of the same length) it is not refused.
 */
export const OTHER_SERVERS = [
  { name: 'redis-8', suite: 'trixie', package: 'redis-server', tests: 'redis', isInNpmTest: true },
  { name: 'valkey-8', suite: 'trixie', package: 'valkey-server', tests: 'redis', isInNpmTest: true },
  { name: 'redis-6.0', suite: 'bullseye', package: 'redis-server', tests: 'refused', isInNpmTest: true },
  {
    name: 'redis-6.0-as-6.2',
    suite: 'bullseye',
    package: 'redis-server',
    says: ['6.0.', '6.2.'],
    tests: 'old',
    isInNpmTest: true,
  },
  { name: 'redis-8-sid', suite: 'sid', package: 'redis-server', tests: 'redis' },
  { name: 'valkey-9', suite: 'sid', package: 'valkey-server', tests: 'redis' },
  { name: 'redict-7', suite: 'sid', package: 'redict-server', tests: 'redis' },
  { name: 'etcd-3.5', suite: 'trixie', package: 'etcd-server', binary: 'etcd', tests: 'etcd' },
];

/** The program that starts a server of the cache; undefined where it was not fetched. */
export function findOtherServer(name) {
  const path = join(CACHE, name, 'start');
  return existsSync(path) ? path : undefined;
}

/** Resolves with the program that starts the server; rejects where it cannot be had. */
export async function fetchServer(server, signal = AbortSignal.timeout(PATIENCE)) {
  const found = findOtherServer(server.name);
  if (found) return found;
  await (conditions ??= checkConditions());
  await mkdir(CACHE, { recursive: true });
  const folder = await mkdtemp(join(CACHE, '.new-'));
  try {
    const index = await indexOf(server.suite, signal);
    for (const one of closureOf(server.package, index)) await extract(one, folder, signal);
    const binary = server.binary ?? server.package;
    if (server.says) await replaceText(folder, join('usr/bin', binary), ...server.says);
    await writeFile(join(folder, 'start'), startScript(binary, folder), { mode: 0o755 });
    await versionOf(join(folder, 'start'));
    await rename(folder, join(CACHE, server.name)).catch((error) => {
      // Another run may have been faster.
      if (!findOtherServer(server.name)) throw error;
    });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  return findOtherServer(server.name);
}

let conditions;

/** Rejects where nothing can be fetched. What the mirror sends is only as good as the way to it. */
async function checkConditions() {
  if (process.platform !== 'linux' || process.arch !== 'x64') throw new Error('they are for Linux on x64');
  if (MIRROR === '') throw new Error('DEBIAN_MIRROR is empty');
  const { protocol, hostname } = URL.canParse(MIRROR) ? new URL(MIRROR) : {};
  const isLocal = protocol === 'http:' && /^(localhost|127\.0\.0\.1|\[::1\])$/.test(hostname);
  if (protocol !== 'https:' && !isLocal) throw new Error(`DEBIAN_MIRROR has to begin with https://, not ${MIRROR}`);
  await run('dpkg-deb', ['--version']);
  const options = { method: 'HEAD', redirect: 'manual', signal: AbortSignal.timeout(FIRST_ANSWER) };
  await fetch(`${MIRROR}/`, options).catch((error) => {
    throw new Error(`${MIRROR} does not answer`, { cause: error.cause ?? error });
  });
}

async function replaceText(folder, path, text, other) {
  const file = await realpath(join(folder, path));
  if (!file.startsWith((await realpath(folder)) + sep)) throw new Error(`${path} leads out of its package`);
  const program = await readFile(file, 'latin1');
  await writeFile(file, program.replaceAll(text, other), 'latin1');
}

/** The server under the C library of its own suite: this machine's may be older. */
function startScript(binary, folder) {
  const libraries = ['lib/x86_64-linux-gnu', 'usr/lib/x86_64-linux-gnu'].filter((path) =>
    existsSync(join(folder, path)),
  );
  const loader = libraries.find((path) => readdirSync(join(folder, path)).includes('ld-linux-x86-64.so.2'));
  const path = libraries.map((each) => `$here/${each}`).join(':');
  return `#!/bin/sh
here=\${0%/*}
# Of Redis 6.0, which Debian built against its own Lua.
export LUA_CPATH="$here/usr/lib/x86_64-linux-gnu/lua/5.1/?.so"
exec "$here/${loader}/ld-linux-x86-64.so.2" --library-path "${path}" "$here/usr/bin/${binary}" "$@"
`;
}

const indices = new Map();

/** The packages of a suite, by name. */
function indexOf(suite, signal) {
  const path = `dists/${suite}/main/binary-amd64/Packages.gz`;
  if (!indices.has(suite)) indices.set(suite, download(path, signal).then(readIndex));
  return indices.get(suite);
}

function readIndex(packed) {
  const packages = new Map();
  for (const text of gunzipSync(packed).toString().split('\n\n')) {
    const field = (name) => new RegExp(`^${name}: (.*)$`, 'm').exec(text)?.[1] ?? '';
    const dependencies = [field('Pre-Depends'), field('Depends')].join(',').split(/[,|]/);
    const names = dependencies.map((dependency) => /^\s*([^\s:(]+)/.exec(dependency)?.[1] ?? '');
    packages.set(field('Package'), { path: field('Filename'), sha256: field('SHA256'), names });
  }
  return packages;
}

/** A package and all that it needs. */
function closureOf(name, index) {
  const names = new Set([name]);
  for (const each of names) {
    for (const other of index.get(each)?.names ?? []) if (NEEDED.test(other) && index.has(other)) names.add(other);
  }
  return [...names].map((each) => {
    if (!index.has(each)) throw new Error(`no package ${each}`);
    return index.get(each);
  });
}

async function extract({ path, sha256 }, folder, signal) {
  const bytes = await download(path, signal);
  const found = createHash('sha256').update(bytes).digest('hex');
  if (found !== sha256) throw new Error(`${path}: not what the index says`);
  const file = join(folder, 'package.deb');
  await writeFile(file, bytes);
  await run('dpkg-deb', ['-x', file, folder], { signal });
  await rm(file);
}

async function download(path, signal) {
  const url = `${MIRROR}/${path}`;
  const response = await fetch(url, { redirect: 'error', signal });
  if (!response.ok) throw new Error(`${url}: ${response.status}`);
  // fetch() may forget its signal once the head of an answer is there.
  return buffer(Readable.fromWeb(response.body, { signal }));
}

export async function versionOf(program) {
  const { stdout } = await run(program, ['--version'], { timeout: VERSION });
  return /(?:v=|Version: )(\S+)/.exec(stdout)?.[1] ?? 'of unknown version';
}

/** Removes what runs that were stopped have left, and what does not run. */
async function tidy() {
  for (const name of await readdir(CACHE)) {
    const folder = join(CACHE, name);
    const remove = () => rm(folder, { recursive: true, force: true });
    if (!name.startsWith('.new-')) await versionOf(join(folder, 'start')).catch(remove);
    // The time of the last change to the folder itself: packages set the other one.
    else if ((await stat(folder)).ctimeMs < Date.now() - LEFTOVER) await remove();
  }
}

/** npm test goes on without what cannot be fetched. */
async function main() {
  const signal = AbortSignal.timeout(PATIENCE);
  const missing = new Map();
  await tidy().catch(() => undefined);
  for (const server of OTHER_SERVERS.filter(({ isInNpmTest }) => isInNpmTest)) {
    try {
      const program = await fetchServer(server, signal);
      console.log(`${server.package} ${await versionOf(program)} (Debian ${server.suite}, ${program})`);
    } catch (error) {
      const reason = [error.message, error.cause?.message].filter(Boolean).join(': ');
      missing.set(reason, [...(missing.get(reason) ?? []), server.name]);
    }
  }
  for (const [reason, names] of missing) console.log(`npm test goes on without ${names.join(', ')} (${reason}).`);
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) await main();
