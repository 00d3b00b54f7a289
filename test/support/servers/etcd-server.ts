import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { findEtcdServer } from './find-servers.mjs';

export interface EtcdClusterOptions {
  /** Default: one. */
  members?: 1 | 3;
  /** Milliseconds without a leader before an election. The smallest TTL is about 1.5 times that. Default: 250. */
  electionTimeout?: number;
  args?: string[];
  /** Files. The member serves with TLS then, wants client certificates, and does not answer `post`. */
  tls?: { ca: string; cert: string; key: string };
}

/**
 * A process of its own that ends the members and removes their data when our end of its stdin closes, which happens
 * however we end. It reads the pid of each member that starts.
 */
const GUARD =
  'pids=; while read -r pid; do pids="$pids $pid"; done; for pid in $pids; do kill -9 "$pid"; done; rm -rf "$1"';

const ATTEMPTS = 5;

export interface StoredKey {
  readonly key: string;
  readonly value: string;
  /** As text: an id may be beyond 2^53. */
  readonly lease: string;
}

/** One real etcd process, controlled by pid. */
export class EtcdMember {
  #process: ChildProcess | undefined;

  constructor(
    readonly name: string,
    readonly clientPort: number,
    readonly metricsPort: number,
    readonly args: readonly string[],
    readonly started: (pid: number) => void,
  ) {}

  get host(): string {
    return `127.0.0.1:${this.clientPort}`;
  }

  get isRunning(): boolean {
    return this.#process !== undefined && !hasExited(this.#process);
  }

  /** Clients and peers stay connected and hear nothing. */
  pause(): void {
    this.#signal('SIGSTOP');
  }

  resume(): void {
    this.#signal('SIGCONT');
  }

  async kill(): Promise<void> {
    const child = this.#process;
    if (!child || hasExited(child)) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  }

  /** With the data that it has. Rejects when it ends before it serves clients. */
  async launch(): Promise<void> {
    const binary = findEtcdServer();
    if (!binary) throw new Error('etcd not found: run node test/support/servers/find-servers.mjs');
    const child = spawn(binary, this.args, { stdio: ['ignore', 'ignore', 'pipe'] });
    this.#process = child;
    if (child.pid) this.started(child.pid);
    let output = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      if (output.length < 100_000) output += text;
    });
    const ended = new Promise<never>((_, reject) => {
      child.once('error', reject);
      child.once('exit', (code, signal) =>
        reject(new Error(`etcd ended (${code ?? signal}):\n${output.slice(-2000)}`)),
      );
    });
    ended.catch(() => undefined);
    while (!(await Promise.race([this.isHealthy(), ended]))) await Promise.race([sleep(20), ended]);
  }

  /** Whether it answers, and knows a leader. */
  async isHealthy(): Promise<boolean> {
    const signal = AbortSignal.timeout(1000);
    const response = await fetch(`http://127.0.0.1:${this.metricsPort}/health`, { signal }).catch(() => undefined);
    return response?.ok ?? false;
  }

  /** Whether it says that it leads. */
  async isLeader(): Promise<boolean> {
    const status = await this.status();
    return status !== undefined && status.leader === status.header.member_id;
  }

  async status(): Promise<{ leader: string; header: { member_id: string; revision: string } } | undefined> {
    const status = await this.post<{ leader?: string; header: { member_id: string; revision: string } }>(
      'maintenance/status',
      {},
    ).catch(() => undefined);
    return status?.leader === undefined || status.leader === '0' ? undefined : { ...status, leader: status.leader };
  }

  /** One call of the JSON gateway: an administrator's way in, independent of the driver. */
  async post<T>(path: string, body: object, token?: string, timeout = 1000): Promise<T> {
    const response = await fetch(`http://${this.host}/v3/${path}`, {
      method: 'POST',
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(timeout),
      headers: token === undefined ? {} : { authorization: token },
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`etcd: ${path} answered ${response.status}: ${text}`);
    return JSON.parse(text) as T;
  }

  #signal(signal: NodeJS.Signals): void {
    if (!this.isRunning || !this.#process!.kill(signal)) throw new Error(`etcd member ${this.name} does not run.`);
  }
}

/** One or three real members on free ports of the loopback, with their data in a temporary folder. */
export class EtcdCluster {
  readonly members: readonly EtcdMember[];
  readonly #guard;

  private constructor(ports: readonly number[], { electionTimeout = 250, args = [], tls }: EtcdClusterOptions) {
    const folder = mkdtempSync(join(tmpdir(), 'etcd-'));
    this.#guard = spawn('sh', ['-c', GUARD, 'guard', folder], { stdio: ['pipe', 'ignore', 'ignore'], detached: true });
    const peers = ports.slice(ports.length / 3, (ports.length / 3) * 2);
    const cluster = peers.map((port, index) => `m${index}=http://127.0.0.1:${port}`).join(',');
    this.members = peers.map((peer, index) => {
      const [client, metrics] = [ports[index]!, ports[2 * peers.length + index]!];
      const [clientUrl, peerUrl] = [`http${tls ? 's' : ''}://127.0.0.1:${client}`, `http://127.0.0.1:${peer}`];
      const options = {
        name: `m${index}`,
        'data-dir': join(folder, `m${index}`),
        'listen-client-urls': clientUrl,
        'advertise-client-urls': clientUrl,
        'listen-peer-urls': peerUrl,
        'initial-advertise-peer-urls': peerUrl,
        'initial-cluster': cluster,
        'heartbeat-interval': String(electionTimeout / 5),
        'election-timeout': String(electionTimeout),
        logger: 'zap',
        'log-level': 'error',
        // Plain HTTP, for `isHealthy`.
        'listen-metrics-urls': `http://127.0.0.1:${metrics}`,
        ...(tls && {
          'trusted-ca-file': tls.ca,
          'cert-file': tls.cert,
          'key-file': tls.key,
          'client-cert-auth': 'true',
        }),
      };
      const all = [...Object.entries(options).map(([name, value]) => `--${name}=${value}`), ...args];
      return new EtcdMember(`m${index}`, client, metrics, all, (pid) => this.#guard.stdin.write(`${pid}\n`));
    });
  }

  static async start(options: EtcdClusterOptions = {}): Promise<EtcdCluster> {
    for (let attempt = 1; ; attempt++) {
      const cluster = new EtcdCluster(await freePorts(3 * (options.members ?? 1)), options);
      try {
        await Promise.all(cluster.members.map((member) => member.launch()));
        return cluster;
      } catch (error) {
        await cluster.stop();
        if (attempt === ATTEMPTS || !/address already in use/i.test(String(error))) throw error;
      }
    }
  }

  get hosts(): string[] {
    return this.members.map(({ host }) => host);
  }

  /** The member that leads, once all that run agree on one. */
  async leader(): Promise<EtcdMember> {
    for (;;) {
      for (const member of this.members) {
        if (member.isRunning && (await member.isLeader())) return member;
      }
      await sleep(20);
    }
  }

  async followers(): Promise<EtcdMember[]> {
    const leader = await this.leader();
    return this.members.filter((member) => member !== leader);
  }

  /** Starts what was killed and continues what was paused. */
  async restore(): Promise<void> {
    for (const member of this.members) if (member.isRunning) member.resume();
    await Promise.all(this.members.filter((member) => !member.isRunning).map((member) => member.launch()));
    await this.leader();
  }

  /** All that is stored below a prefix. */
  async stored(prefix = '\0'): Promise<StoredKey[]> {
    const leader = await this.leader();
    const { kvs = [] } = await leader.post<{ kvs?: Partial<StoredKey>[] }>('kv/range', rangeOf(prefix));
    const text = (encoded: string): string => Buffer.from(encoded, 'base64').toString();
    return kvs.map(({ key = '', value = '', lease = '0' }) => ({ key: text(key), value: text(value), lease }));
  }

  async empty(): Promise<void> {
    await (await this.leader()).post('kv/deleterange', rangeOf('\0'));
  }

  async stop(): Promise<void> {
    await Promise.all(this.members.map((member) => member.kill()));
    if (hasExited(this.#guard)) return;
    this.#guard.stdin.end();
    await once(this.#guard, 'exit');
  }
}

function rangeOf(prefix: string): object {
  const base64 = (text: string): string => Buffer.from(text).toString('base64');
  return { key: base64(prefix), range_end: base64(prefix === '\0' ? prefix : `${prefix}\u{10ffff}`) };
}

function hasExited(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}

async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'));
  await Promise.all(servers.map((server) => once(server, 'listening')));
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => once(server.close(), 'close')));
  return ports;
}
