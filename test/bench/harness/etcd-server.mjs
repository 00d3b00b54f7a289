// An etcd cluster of our own: free ports, data in a temporary folder, each member ended by its pid.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { findEtcdServer } from '../../support/servers/find-servers.mjs';

// The shell outlives us, however we end, until its stdin closes: then it ends the members and removes the folder.
const GUARD =
  'pids=; while read -r pid; do pids="$pids $pid"; done; for pid in $pids; do kill -9 $pid 2>/dev/null; done; rm -rf "$1"';

export class EtcdServer {
  #guard;
  #binary;
  #members;

  /** With etcd's own heartbeats and election timeout. */
  static async start(count) {
    const server = new EtcdServer();
    server.#binary = findEtcdServer();
    if (!server.#binary) throw new Error('etcd not found: run node test/support/servers/find-servers.mjs');
    const dir = mkdtempSync(join(tmpdir(), 'bench-etcd-'));
    server.#guard = spawn('sh', ['-c', GUARD, 'guard', dir], { stdio: ['pipe', 'ignore', 'inherit'], detached: true });
    const ports = await freePorts(2 * count);
    const url = (port) => `http://127.0.0.1:${port}`;
    const cluster = ports.slice(count).map((port, index) => `m${index}=${url(port)}`);
    server.#members = cluster.map((_, index) => {
      const [client, peer] = [url(ports[index]), url(ports[count + index])];
      const args = ['--name', `m${index}`, '--data-dir', join(dir, `m${index}`), '--log-level', 'error'];
      args.push('--logger', 'zap', '--listen-client-urls', client, '--advertise-client-urls', client);
      args.push('--listen-peer-urls', peer, '--initial-advertise-peer-urls', peer);
      return { port: ports[index], url: client, args: [...args, '--initial-cluster', cluster.join(',')] };
    });
    await Promise.all(server.#members.map((member) => server.restart(member)));
    return server;
  }

  get ports() {
    return this.#members.map(({ port }) => port);
  }

  /** What a worker is told. */
  get port() {
    return this.ports.join(',');
  }

  async version() {
    return (await status(this.#members[0])).version;
  }

  async leader() {
    for (;;) {
      for (const member of this.#members) {
        const found = await status(member);
        if (found?.leader === found?.header.member_id && found) return member;
      }
      await sleep(20);
    }
  }

  async kill(member) {
    member.process.kill('SIGKILL');
    await once(member.process, 'exit');
  }

  /** With its data; resolves when it knows a leader. */
  async restart(member) {
    member.process = spawn(this.#binary, member.args, { stdio: ['ignore', 'ignore', 'inherit'] });
    this.#guard.stdin.write(`${member.process.pid}\n`);
    while (!Number((await status(member))?.leader)) await sleep(20);
  }

  async stop() {
    this.#guard.stdin.end();
    await once(this.#guard, 'exit');
  }
}

async function status({ url }) {
  const request = { method: 'POST', body: '{}', signal: AbortSignal.timeout(1000) };
  return fetch(`${url}/v3/maintenance/status`, request).then(
    (response) => response.json(),
    () => undefined,
  );
}

async function freePorts(count) {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'));
  await Promise.all(servers.map((server) => once(server, 'listening')));
  const ports = servers.map((server) => server.address().port);
  await Promise.all(servers.map((server) => once(server.close(), 'close')));
  return ports;
}
