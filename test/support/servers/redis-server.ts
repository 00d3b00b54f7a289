import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findRedisServer } from './find-servers.mjs';

export interface RedisServerOptions {
  /** Added after the defaults, which they override: no persistence, loopback only. */
  args?: string[];
  /** Chosen by the operating system where it is missing. */
  port?: number;
  /** Kept by `stop()`; the temporary directory that stands in for a missing one is not. */
  dir?: string;
  env?: NodeJS.ProcessEnv;
  /** Of a sentinel; it writes to this file. */
  config?: string;
  /** The highest port that may be chosen. */
  highest?: number;
  /** Default: the one that `findRedisServer` finds. */
  binary?: string;
}

/**
 * A process of its own that ends the server when our end of its stdin closes, which happens however we end: a process
 * that is killed runs no exit hook, nor does a thread that is terminated, as those of vitest are. It reads the pid of
 * the server at each start and an empty line at each exit, and removes the directory that is its argument.
 */
const GUARD =
  'pid=; while read -r line; do pid=$line; done; [ -z "$pid" ] || kill -9 "$pid"; [ -z "$1" ] || rm -rf "$1"';

const ATTEMPTS = 5;

/** A real redis-server, controlled by pid. It never outlives the thread or process that started it. */
export class RedisServer {
  readonly port: number;
  readonly url: string;
  readonly #args: string[];
  readonly #env: NodeJS.ProcessEnv;
  readonly #binary: string | undefined;
  readonly #guard;
  #process?: ChildProcess;

  private constructor(port: number, options: RedisServerOptions) {
    const temporary = options.dir === undefined ? mkdtempSync(join(tmpdir(), 'redis-server-')) : '';
    this.port = port;
    this.url = `redis://127.0.0.1:${port}`;
    const common = ['--bind', '127.0.0.1', '--port', String(port), '--dir', options.dir ?? temporary];
    this.#args = options.config
      ? [options.config, '--sentinel', ...common]
      : ['--save', '', '--appendonly', 'no', ...common, '--loglevel', 'notice', ...(options.args ?? [])];
    this.#env = { ...process.env, ...options.env };
    this.#binary = options.binary;
    this.#guard = spawn('sh', ['-c', GUARD, 'guard', temporary], {
      stdio: ['pipe', 'ignore', 'ignore'],
      detached: true,
    });
  }

  static async start(options: RedisServerOptions = {}): Promise<RedisServer> {
    for (let attempt = 1; ; attempt++) {
      const server = new RedisServer(options.port ?? (await freePort(options.highest)), options);
      try {
        await server.#launch();
        return server;
      } catch (error) {
        await server.stop();
        const taken = options.port === undefined && /address already in use/i.test(String(error));
        if (!taken || attempt === ATTEMPTS) throw error;
      }
    }
  }

  /** Clients stay connected and hear nothing. */
  pause(): void {
    this.#signal('SIGSTOP');
  }

  resume(): void {
    this.#signal('SIGCONT');
  }

  /** Does nothing for one that does not run, or is not paused. */
  tryResume(): void {
    this.#process?.kill('SIGCONT');
  }

  async kill(): Promise<void> {
    const child = this.#process;
    if (!child || hasExited(child)) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  }

  /** Same port and directory. */
  async restart(): Promise<void> {
    await this.kill();
    await this.#launch();
  }

  async stop(): Promise<void> {
    await this.kill();
    if (hasExited(this.#guard)) return;
    this.#guard.stdin.end();
    await once(this.#guard, 'exit');
  }

  #signal(signal: NodeJS.Signals): void {
    if (!this.#process?.kill(signal)) throw new Error(`The redis-server on port ${this.port} does not run.`);
  }

  /** Resolves when the server accepts connections. */
  #launch(): Promise<void> {
    const binary = this.#binary ?? findRedisServer();
    if (!binary) throw new Error('redis-server not found: run node test/support/servers/find-servers.mjs');
    const child = spawn(binary, this.#args, { stdio: ['ignore', 'pipe', 'pipe'], env: this.#env });
    this.#process = child;
    this.#guard.stdin.write(`${child.pid ?? ''}\n`);
    child.once('exit', () => this.#guard.stdin.write('\n'));
    return new Promise((resolve, reject) => {
      let output = '';
      const read = (text: string): void => {
        output += text;
        if (/Ready to accept connections|Sentinel ID is/.test(output)) resolve();
      };
      child.stdout.setEncoding('utf8').on('data', read);
      child.stderr.setEncoding('utf8').on('data', read);
      child.once('error', reject);
      child.once('close', (code, signal) => {
        reject(new Error(`redis-server ended (${code ?? signal}) before it was ready:\n${output}`));
      });
    });
  }
}

function hasExited(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}

export async function freePort(highest = 65_535): Promise<number> {
  for (;;) {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    server.close();
    await once(server, 'close');
    if (port <= highest) return port;
  }
}
