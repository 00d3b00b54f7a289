import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { RedisServer } from './redis-server.js';
import { TcpProxy } from './tcp-proxy.js';

const DEADLINE = 15_000;

/** A primary with a replica behind one address, as a managed Redis has it. */
export class RedisEndpoint {
  #primary: RedisServer;
  #replica: RedisServer;

  private constructor(
    readonly proxy: TcpProxy,
    primary: RedisServer,
    replica: RedisServer,
  ) {
    this.#primary = primary;
    this.#replica = replica;
  }

  static async start(binary?: string): Promise<RedisEndpoint> {
    const args = ['--repl-diskless-sync-delay', '0'];
    const [primary, replica] = [
      await RedisServer.start({ args, ...(binary && { binary }) }),
      await RedisServer.start({ args, ...(binary && { binary }) }),
    ];
    const endpoint = new RedisEndpoint(await TcpProxy.start(primary.port), primary, replica);
    await ask(replica, (client) => client.replicaof('127.0.0.1', primary.port));
    await endpoint.#replicates();
    return endpoint;
  }

  get url(): string {
    return `redis://127.0.0.1:${this.proxy.port}`;
  }

  get primary(): RedisServer {
    return this.#primary;
  }

  get replica(): RedisServer {
    return this.#replica;
  }

  /** Planned: nothing is lost, no connection is closed, and those who come from now on get to the new primary. */
  async failOver(): Promise<void> {
    await ask(this.#primary, (client) => client.call('FAILOVER'));
    [this.#primary, this.#replica] = [this.#replica, this.#primary];
    await until(async () => {
      const [role] = (await ask(this.#primary, (client) => client.role())) as unknown as [string];
      return role === 'master';
    }, 'the replica is the primary');
    this.proxy.leadTo(this.#primary.port);
    await this.#replicates();
  }

  /** Empty, and the name leads to the primary only. */
  async clear(): Promise<void> {
    this.proxy.leadTo(this.#primary.port);
    await ask(this.#primary, (client) => client.flushall());
  }

  async stop(): Promise<void> {
    await this.proxy.close();
    for (const server of [this.#primary, this.#replica]) await server.stop();
  }

  #replicates(): Promise<void> {
    const look = async (): Promise<boolean> =>
      /master_link_status:up/.test(await ask(this.#replica, (client) => client.info('replication')));
    return until(look, 'the replica follows');
  }
}

async function ask<T>(server: RedisServer, question: (client: Redis) => Promise<T>): Promise<T> {
  const client = new Redis(server.url, { retryStrategy: () => null });
  try {
    return await question(client);
  } finally {
    client.disconnect();
  }
}

async function until(look: () => Promise<boolean>, what: string): Promise<void> {
  for (const deadline = performance.now() + DEADLINE; !(await look()); await sleep(20)) {
    if (performance.now() > deadline) throw new Error(`Not so in ${DEADLINE} ms: ${what}`);
  }
}
