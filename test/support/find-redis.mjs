// Finds the redis-server that the tests start: REDIS_SERVER_BIN, else PATH. Run as a program (npm's pretest), it installs
// one where that cannot surprise anybody (Linux, root, apt-get, no daemon is started), else it says how to get one.
import { execFileSync } from 'node:child_process';
import { accessSync, constants, existsSync, realpathSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const HOW_TO =
  'redis-server not found. macOS: brew install redis. Debian/Ubuntu: sudo apt-get install redis-server. ' +
  'Docker: docker run --rm -v "$PWD":/repo -v /repo/node_modules -w /repo node:20 .ci/run. ' +
  'Elsewhere: REDIS_SERVER_BIN=/path/to/redis-server.';

export function findRedisServer() {
  const named = process.env.REDIS_SERVER_BIN;
  if (!named) return onPath('redis-server');
  if (!isExecutable(named)) throw new Error(`REDIS_SERVER_BIN: ${named} is not an executable file.`);
  return named;
}

function onPath(name) {
  const folders = (process.env.PATH ?? '').split(delimiter).filter(Boolean);
  return folders.map((folder) => join(folder, name)).find(isExecutable);
}

function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

function canInstall() {
  return process.platform === 'linux' && process.getuid() === 0 && onPath('apt-get') !== undefined;
}

function install() {
  const apt = (...args) =>
    execFileSync('apt-get', args, {
      stdio: ['ignore', 'inherit', 'inherit'],
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
    });
  withoutDaemons(() => {
    apt('update');
    apt('install', '-y', '--no-install-recommends', 'redis-server');
  });
}

/** Debian's package starts its daemon unless the policy script answers 101, "action forbidden". */
function withoutDaemons(action) {
  const policy = '/usr/sbin/policy-rc.d';
  if (existsSync(policy)) return action();
  // A listener keeps Ctrl-C from ending this process before the script is removed; apt-get gets the signal as well.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(signal, () => {});
  try {
    writeFileSync(policy, '#!/bin/sh\nexit 101\n', { mode: 0o755, flag: 'wx' });
    action();
  } finally {
    rmSync(policy, { force: true });
  }
}

function main() {
  if (!findRedisServer() && canInstall()) install();
  const path = findRedisServer();
  if (!path) throw new Error(HOW_TO);
  const version = /v=(\S+)/.exec(execFileSync(path, ['--version'], { encoding: 'utf8' }))?.[1] ?? 'of unknown version';
  console.log(`redis-server ${version} (${path})`);
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  try {
    main();
  } catch (error) {
    console.error(error.message);
    process.exitCode = 1;
  }
}
