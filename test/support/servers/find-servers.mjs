// Finds the servers that the tests start: REDIS_SERVER_BIN and ETCD_BIN, else PATH. Run as a program (npm's pretest), it
// installs what is missing where that cannot surprise anybody (Linux, root, apt-get, no daemon is started), else it says
// how to get it.
import { execFileSync } from 'node:child_process';
import { accessSync, constants, existsSync, realpathSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const DOCKER = 'Docker: docker run --rm -v "$PWD":/repo -v /repo/node_modules -w /repo node:20 .ci/run. ';

const redis = {
  binary: 'redis-server',
  variable: 'REDIS_SERVER_BIN',
  package: 'redis-server',
  version: /v=(\S+)/,
  howTo:
    'redis-server not found. macOS: brew install redis. Debian/Ubuntu: sudo apt-get install redis-server. ' +
    `${DOCKER}Elsewhere: REDIS_SERVER_BIN=/path/to/redis-server.`,
};

const etcd = {
  binary: 'etcd',
  variable: 'ETCD_BIN',
  package: 'etcd-server',
  version: /etcd Version: (\S+)/,
  howTo:
    'etcd not found. macOS: brew install etcd. Debian/Ubuntu: sudo apt-get install etcd-server. ' +
    `${DOCKER}Elsewhere: ETCD_BIN=/path/to/etcd, from github.com/etcd-io/etcd/releases.`,
};

export const findRedisServer = () => find(redis);
export const findEtcdServer = () => find(etcd);

function find({ binary, variable }) {
  const named = process.env[variable];
  if (!named) return onPath(binary);
  if (!isExecutable(named)) throw new Error(`${variable}: ${named} is not an executable file.`);
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

function install(packages) {
  const apt = (...args) =>
    execFileSync('apt-get', args, {
      stdio: ['ignore', 'inherit', 'inherit'],
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
    });
  withoutDaemons(() => {
    apt('update');
    apt('install', '-y', '--no-install-recommends', ...packages);
  });
}

/** Debian's packages start their daemons unless the policy script answers 101, "action forbidden". */
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
  const servers = [redis, etcd];
  const missing = servers.filter((server) => !find(server));
  if (missing.length > 0 && canInstall()) install(missing.map((server) => server.package));
  for (const server of servers) {
    const path = find(server);
    if (!path) throw new Error(server.howTo);
    const output = execFileSync(path, ['--version'], { encoding: 'utf8' });
    console.log(`${server.binary} ${server.version.exec(output)?.[1] ?? 'of unknown version'} (${path})`);
  }
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  try {
    main();
  } catch (error) {
    console.error(error.message);
    process.exitCode = 1;
  }
}
