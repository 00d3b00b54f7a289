import { type ChildProcess, type ChildProcessByStdio, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { onTestFinished } from 'vitest';
import type { Status } from '../../sample-app/status/status.controller.js';
import { RedisServer } from '../support/servers/redis-server.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const MAIN = join(ROOT, 'build/sample-app/main.js');
const PATIENCE = 15_000;

/** Ends the group of processes when our end of its stdin closes, which happens however we end. */
const GUARD = 'read -r line; kill -9 "-$1"';

export interface Line {
  readonly text: string;
  /** When it arrived here, by `performance.now()`. */
  readonly at: number;
}

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly at: number;
}

/** The sample application in a process of its own, which ends with the test. */
export class ReplicaProcess {
  /** What it printed, errors included. */
  readonly lines: Line[] = [];
  readonly exit: Promise<Exit>;
  readonly #child: ChildProcess;
  readonly #guard: ChildProcessByStdio<Writable, null, null>;
  readonly #watchers = new Set<() => void>();
  #exited: Exit | undefined;

  private constructor(command: string, args: readonly string[], env: NodeJS.ProcessEnv) {
    if (!existsSync(MAIN)) throw new Error('The sample application is not built: npm run build:sample');
    const child = spawn(command, args, { cwd: ROOT, env, stdio: ['ignore', 'pipe', 'pipe'], detached: true });
    const guard = spawn('sh', ['-c', GUARD, 'guard', String(child.pid)], {
      stdio: ['pipe', 'ignore', 'ignore'],
      detached: true,
    });
    this.#child = child;
    this.#guard = guard;
    for (const input of [child.stdout, child.stderr]) {
      createInterface({ input }).on('line', (text) => {
        this.lines.push({ text, at: performance.now() });
        this.#changed();
      });
    }
    this.exit = new Promise((resolve) => {
      child.once('close', (code, signal) => {
        guard.kill('SIGKILL');
        this.#exited = { code, signal, at: performance.now() };
        this.#changed();
        resolve(this.#exited);
      });
    });
  }

  /** Resolves when every replica of the process listens. By default it plays one, on a port that the system chooses. */
  static async start(
    env: NodeJS.ProcessEnv,
    [command, ...args]: readonly [string, ...string[]] = [process.execPath, MAIN],
  ): Promise<ReplicaProcess> {
    const { FORCE_COLOR: _forced, REDIS_URL: _redis, ETCD_HOSTS: _etcd, ...inherited } = process.env;
    const defaults = { NODE_ENV: '', PORT: '0', REPLICAS: '1' };
    const replica = new ReplicaProcess(command, args, { ...inherited, ...defaults, ...env });
    onTestFinished(async () => {
      replica.#guard.stdin.end();
      await replica.exit;
    });
    await replica.waitForLine(/Let another lead/);
    return replica;
  }

  /** Of each replica that this process plays. */
  get urls(): string[] {
    return this.matches(/listens on (\S+)/).map(([, url]) => url!);
  }

  get url(): string {
    return this.urls[0]!;
  }

  /** What `pattern` finds in the lines so far. */
  matches(pattern: RegExp): RegExpExecArray[] {
    return this.lines.map(({ text }) => pattern.exec(text)).filter((match) => match !== null);
  }

  /** The first line that matches, from the line with number `from` on, whether it was printed yet or not. */
  waitForLine(pattern: RegExp, from = 0): Promise<Line> {
    return new Promise((resolve, reject) => {
      const settle = (action: () => void): void => {
        clearTimeout(timer);
        this.#watchers.delete(check);
        action();
      };
      const check = (): void => {
        const line = this.lines.slice(from).find(({ text }) => pattern.test(text));
        if (line) settle(() => resolve(line));
        else if (this.#exited) settle(() => reject(this.#missing(pattern, 'the process ended')));
      };
      const timer = setTimeout(() => settle(() => reject(this.#missing(pattern, `${PATIENCE} ms`))), PATIENCE);
      this.#watchers.add(check);
      check();
    });
  }

  /** When the signal was sent, by `performance.now()`. */
  kill(signal: NodeJS.Signals): number {
    const at = performance.now();
    this.#child.kill(signal);
    return at;
  }

  /** What a terminal does: the signal goes to the process and to those that it started. */
  pressCtrlC(): number {
    const at = performance.now();
    process.kill(-this.#child.pid!, 'SIGINT');
    return at;
  }

  async status(): Promise<Status> {
    const response = await fetch(`${this.url}/status`);
    return (await response.json()) as Status;
  }

  #changed(): void {
    for (const check of this.#watchers) check();
  }

  #missing(pattern: RegExp, why: string): Error {
    const output = this.lines.map(({ text }) => text).join('\n');
    return new Error(`No line matched ${String(pattern)} (${why}):\n${output}`);
  }
}

/** The URL of a Redis server that ends with the test. */
export async function startRedis(): Promise<string> {
  const server = await RedisServer.start();
  onTestFinished(() => server.stop());
  return server.url;
}

export interface Pair {
  readonly leader: ReplicaProcess;
  readonly follower: ReplicaProcess;
  readonly redisUrl: string;
}

/** Two processes on one Redis server. */
export async function startPair(): Promise<Pair> {
  const redisUrl = await startRedis();
  const leader = await ReplicaProcess.start({ REDIS_URL: redisUrl });
  await leader.waitForLine(/★ leads/);
  return { leader, follower: await startFollower(redisUrl), redisUrl };
}

export async function startFollower(redisUrl: string): Promise<ReplicaProcess> {
  const follower = await ReplicaProcess.start({ REDIS_URL: redisUrl });
  await follower.waitForLine(/follows/);
  return follower;
}
