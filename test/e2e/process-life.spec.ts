import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { EtcdCluster } from '../support/servers/etcd-server.js';
import { RedisServer } from '../support/servers/redis-server.js';
import { RedisCluster } from '../support/servers/redis-topologies.js';
import { useTopology } from '../support/servers/use-topology.js';

/** Milliseconds without anything to do, in which a process that nothing keeps alive has ended for long. */
const IDLE = 1500;

interface Client {
  readonly child: ChildProcess;
  /** Resolves with the time at which it said so. */
  said(line: string): Promise<number>;
  /** Resolves with exit code, signal and time. */
  readonly exit: Promise<{ code: number | null; signal: string | null; at: number }>;
}

function start(script: string, ...args: string[]): Client {
  const file = fileURLToPath(new URL(script, import.meta.url));
  const child = spawn(process.execPath, [file, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  onTestFinished(() => void child.kill('SIGKILL'));
  const lines = new Map<string, number>();
  const reader = createInterface(child.stdout).on('line', (line) => void lines.set(line, performance.now()));
  const exit = once(child, 'exit').then(([code, signal]) => ({
    code: code as number | null,
    signal: signal as string | null,
    at: performance.now(),
  }));
  return {
    child,
    exit,
    async said(wanted) {
      while (!lines.has(wanted)) {
        const heard = await Promise.race([
          once(reader, 'line').then(() => true),
          once(reader, 'close').then(() => false),
        ]);
        if (!heard && !lines.has(wanted)) throw new Error(`It ended without saying "${wanted}".`);
      }
      return lines.get(wanted)!;
    },
  };
}

const isAlive = ({ exitCode, signalCode }: ChildProcess): boolean => exitCode === null && signalCode === null;

const etcd = useTopology(() => EtcdCluster.start());
const redis = useTopology(() => RedisServer.start());
const cluster = useTopology(() => RedisCluster.start());
let silent: Server;
beforeAll(async () => {
  silent = createServer((socket) => void socket.on('error', () => undefined)).listen(0, '127.0.0.1');
  await once(silent, 'listening');
});
afterAll(() => void silent.close());

/** How each driver is told of its stores. */
const drivers: { title: string; driver: string; options: (ports: number[]) => object; there: () => number[] }[] = [
  {
    title: 'EtcdDriver',
    driver: 'EtcdDriver',
    options: ([port]) => ({ hosts: [`127.0.0.1:${port}`] }),
    there: () => etcd.members.map(({ clientPort }) => clientPort),
  },
  {
    title: 'RedisDriver',
    driver: 'RedisDriver',
    options: ([port]) => ({ url: `redis://127.0.0.1:${port}` }),
    there: () => [redis.port],
  },
  {
    title: 'RedisDriver on a cluster',
    driver: 'RedisDriver',
    options: (ports) => ({ cluster: ports.map((port) => ({ host: '127.0.0.1', port })) }),
    there: () => cluster.nodes.map(({ port }) => port),
  },
];
const away: { where: string; ports: () => number[] }[] = [
  { where: 'refused', ports: () => [1] },
  { where: 'silent', ports: () => [(silent.address() as AddressInfo).port] },
];
async function livesUntilClosed(driver: string, options: object): Promise<void> {
  const client = start('store-client.mjs', driver, JSON.stringify(options));
  await client.said('ready');
  await sleep(IDLE);
  expect(isAlive(client.child)).toBe(true);
  client.child.kill('SIGTERM');
  const closedAt = await client.said('closed');
  const { code, signal, at } = await client.exit;
  expect({ code, signal }).toEqual({ code: 0, signal: null });
  expect(at - closedAt).toBeLessThan(1000);
}

describe('a process with nothing but a driver lives until that is closed, and then ends by itself', () => {
  it.each(drivers)('$title, connected', ({ driver, options, there }) => livesUntilClosed(driver, options(there())));

  describe.each(away)('its store is away: $where', ({ ports }) => {
    it.each(drivers)('$title', ({ driver, options }) => livesUntilClosed(driver, options(ports())));
  });

  it('RedlockDriver, whose servers are away', () =>
    livesUntilClosed('RedlockDriver', { servers: [1, 2, 3].map((port) => `redis://127.0.0.1:${port}`) }));
});

describe('a process with nothing but a caller that waits', () => {
  it('lives until the caller is answered, also where the store is its own memory', async () => {
    const client = start('waiting-caller.mjs', String(IDLE));
    const since = await client.said('ready');
    const refusedAt = await client.said('LOCK_NOT_ACQUIRED');
    expect(refusedAt - since).toBeGreaterThan(IDLE - 250);
    expect((await client.exit).code).toBe(0);
  });
});
