// `npm run test:servers`: the tests of a driver and its servers on each of the other servers in turn, or on those that are
// named (`npm run test:servers -- valkey-9`). One line for each, and what failed. With IOREDIS=5, through ioredis 5.
import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { fetchServer, OTHER_SERVERS, versionOf } from './other-servers.mjs';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const VITEST = 'node_modules/vitest/vitest.mjs';

const CONTRACT = ['contract/drivers', 'contract/elections'];
const REDIS_FAULTS = ['sentinel', 'cluster', 'failover-quarantine', 'redlock', 'replica-acks'].map(
  (name) => `faults/${name}`,
);
const OTHER_BACKENDS = ['MemoryDriver', 'EtcdDriver', 'on etcd'];

/** What runs on a server: a part of the names of the files, and how the names of the tests do not begin. */
const TESTS = {
  redis: {
    variable: 'REDIS_SERVER_BIN',
    files: [...CONTRACT, 'integration/redis-', 'integration/redlock', ...REDIS_FAULTS, 'faults/endpoint-failover'],
    without: OTHER_BACKENDS,
  },
  // Without the planned fail-over, which is new in 6.2, and without the specs of permissions, errors and checks at start:
  // they use permissions on channels, which are new in 6.2, and expect the texts of later errors.
  old: {
    variable: 'REDIS_SERVER_BIN',
    files: [
      ...CONTRACT,
      ...['cluster', 'connection', 'failover', 'queue', 'facts', 'reigns', 'tls'].map(
        (name) => `integration/redis-${name}`,
      ),
      'integration/redlock',
      ...REDIS_FAULTS,
    ],
    without: [...OTHER_BACKENDS, 'a user with the permissions', 'RedisDriver on a cluster needs few permissions'],
  },
  refused: { files: ['contract/other-servers'], without: ['RedisDriver', 'RedlockDriver'] },
  etcd: {
    variable: 'ETCD_BIN',
    files: [...CONTRACT, 'integration/etcd-', 'faults/etcd-'],
    without: ['MemoryDriver', 'RedisDriver', 'RedlockDriver', 'with Sentinel', 'on a cluster', 'on a quorum'],
  },
};

async function runTests(server, program) {
  const { variable, files, without } = TESTS[server.tests];
  const named = files.map((name) => `test/${name}`);
  const child = spawn(process.execPath, [VITEST, 'run', ...named, '-t', `^(?!${without.join('|')})`], {
    cwd: ROOT,
    env: { ...process.env, ...(variable && { [variable]: program }) },
    // It tells what failed, and why, on the latter.
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const output = await text(child.stdout);
  // The last line is that of count-reporter.ts.
  const [, passed, failed] = /(\d+) passed, (\d+) failed[^\n]*\s*$/.exec(output) ?? [];
  return { passed: Number(passed ?? 0), failed: Number(failed ?? 1) };
}

const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !OTHER_SERVERS.some((server) => server.name === name));
if (unknown.length > 0) throw new Error(`No such server: ${unknown.join(', ')}.`);

for (const server of OTHER_SERVERS.filter(({ name }) => wanted.length === 0 || wanted.includes(name))) {
  const start = performance.now();
  const say = (what) => console.log(`${server.name.padEnd(17)} ${what}`);
  try {
    const program = await fetchServer(server);
    const { passed, failed } = await runTests(server, program);
    if (failed > 0 || passed === 0) process.exitCode = 1;
    const seconds = ((performance.now() - start) / 1000).toFixed(0);
    say(`${await versionOf(program)}: ${passed} passed, ${failed} failed, ${seconds} s`);
  } catch (error) {
    say(`cannot be had: ${[error.message, error.cause?.message].filter(Boolean).join(': ')}`);
    process.exitCode = 1;
  }
}
