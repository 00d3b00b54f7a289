// A redis-server of our own: free port, no persistence, data in a temporary folder, ended by its pid.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { findRedisServer } from '../../support/servers/find-servers.mjs';
import { pinned } from './cpu.mjs';

// The shell outlives us, however we end, until its stdin closes: then it ends the server and removes the folder.
const GUARD = 'dir=$1; shift; "$@" & cat >/dev/null; kill -9 $!; rm -rf "$dir"';

export class RedisServer {
  #guard;
  #client;
  #pid;

  /** @param cpu pins the server to this CPU; undefined: all */
  static async start(cpu) {
    const binary = findRedisServer();
    if (!binary) throw new Error('redis-server not found: run node test/support/servers/find-servers.mjs');
    const server = new RedisServer();
    server.port = await freePort();
    const dir = mkdtempSync(join(tmpdir(), 'bench-redis-'));
    const args = ['--port', server.port, '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--dir', dir];
    const [file, ...rest] = pinned(cpu, [binary, ...args]);
    const stdio = ['pipe', 'pipe', 'inherit'];
    server.#guard = spawn('sh', ['-c', GUARD, 'guard', dir, file, ...rest], { stdio, detached: true });
    await ready(server.#guard);
    server.#client = new Redis({ port: server.port });
    return server;
  }

  async version() {
    return /redis_version:(\S+)/.exec(await this.#client.info('server'))[1];
  }

  /** How often each command ran so far, alone or inside of a script. */
  async calls() {
    const text = await this.#client.info('commandstats');
    return new Map([...text.matchAll(/cmdstat_([^:]+):calls=(\d+)/g)].map(([, name, calls]) => [name, Number(calls)]));
  }

  /** Runs `task` and counts the calls of `commands` in that time; scripts count once where only they are named. */
  async counting(commands, task) {
    const before = await this.calls();
    const result = await task();
    const after = await this.calls();
    const sent = commands.reduce((sum, name) => sum + (after.get(name) ?? 0) - (before.get(name) ?? 0), 0);
    return { result, sent };
  }

  /** Clients stay connected and hear nothing. */
  async pause() {
    this.#pid ??= Number(/process_id:(\d+)/.exec(await this.#client.info('server'))[1]);
    process.kill(this.#pid, 'SIGSTOP');
  }

  resume() {
    process.kill(this.#pid, 'SIGCONT');
  }

  async stop() {
    this.#client.disconnect();
    this.#guard.stdin.end();
    await once(this.#guard, 'exit');
  }
}

async function ready(guard) {
  let output = '';
  for await (const text of guard.stdout.setEncoding('utf8').iterator({ destroyOnReturn: false })) {
    output += text;
    if (!output.includes('Ready to accept connections')) continue;
    guard.stdout.resume();
    return;
  }
  throw new Error(`redis-server ended before it was ready:\n${output}`);
}

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}
