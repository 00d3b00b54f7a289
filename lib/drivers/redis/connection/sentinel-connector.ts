import type { Socket } from 'node:net';
import { Redis, type RedisOptions } from 'ioredis';
import { AccessConnector, type ConnectorClass } from './connectors.js';
import { hearAllErrors } from './ioredis-sockets.js';
import { isVague, reasonOf } from './reasons.js';
import type { Sockets } from './sockets.js';

interface Endpoint {
  readonly host: string;
  readonly port: number;
  readonly family?: number | undefined;
}

/** Milliseconds that each sentinel gets at least. A silent sentinel must not use up the time of the others. */
const SHORTEST = 500;

/**
 * Connects to the master that the sentinels name.
 *
 * 1. Asks the sentinels one after the other, once. The caller tries again.
 * 2. Reports for each sentinel why it gave no master. The connector of ioredis drops these reasons.
 * 3. Ends the connection when a sentinel publishes `+switch-master` for this group. The connector of ioredis
 *    (redis/ioredis#1328) does so for the fail-over of any group.
 */
export function sentinelConnector(sockets: Sockets): ConnectorClass {
  return class extends SentinelConnector {
    constructor(options: unknown) {
      super(options, sockets);
    }
  };
}

class SentinelConnector extends AccessConnector {
  /** The sentinel that answered last comes first. */
  #endpoints: Endpoint[];
  #watchers: Redis[] = [];

  constructor(options: unknown, sockets: Sockets) {
    super(options, sockets);
    this.#endpoints = (this.options.sentinels ?? []).map(({ host = 'localhost', port = 26379, family }) => ({
      host,
      port,
      family,
    }));
  }

  override check(info: { role?: string } | undefined): boolean {
    const fits = (info?.role ?? 'master') === 'master';
    if (fits) return true;
    this.report(new Error('READONLY The sentinel named a server that is no master any more.'));
    this.#endpoints.push(this.#endpoints.shift()!);
    return false;
  }

  override disconnect(): void {
    super.disconnect();
    this.#unwatch();
  }

  protected override async open(): Promise<Socket> {
    const reasons: string[] = [];
    for (const endpoint of this.#endpoints.slice()) {
      const master = await this.#askFor(endpoint).catch((error: Error) => {
        reasons.push(`sentinel ${nameOf(endpoint)}: ${error.message}`);
      });
      this.assertConnecting();
      if (master) {
        this.#endpoints = [endpoint, ...this.#endpoints.filter((other) => other !== endpoint)];
        return this.#openMaster(master);
      }
      this.report(new Error(reasons.join('; ')));
    }
    throw new Error(reasons.join('; '));
  }

  #openMaster(master: Endpoint): Socket {
    const { tls, enableTLSForSentinelMode } = this.options;
    const usesTls = Boolean(tls && enableTLSForSentinelMode);
    const at = { host: master.host, port: master.port };
    const stream = this.openStream(at, usesTls ? tls : undefined, `master ${nameOf(master)}`);
    stream.once(usesTls ? 'secureConnect' : 'connect', () => this.#watch(stream));
    stream.once('close', () => this.#unwatch());
    return stream;
  }

  async #askFor(endpoint: Endpoint): Promise<Endpoint> {
    const { name, updateSentinels = true, sentinelTLS } = this.options;
    const { host, port } = endpoint;
    this.sockets.tried({ at: { host, port }, usesTls: Boolean(sentinelTLS), role: `sentinel ${nameOf(endpoint)}` });
    const client = this.#clientOf(endpoint);
    let first: Error | undefined;
    client.on('error', (error: Error) => (first ??= reasonOf(error)));
    try {
      const address = (await client.call('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', name!)) as string[] | null;
      if (!address) throw new Error(`This sentinel knows no master named "${name}".`);
      if (updateSentinels) this.#learn((await client.call('SENTINEL', 'SENTINELS', name!)) as string[][]);
      return this.#mapped({ host: address[0]!, port: Number(address[1]) });
    } catch (error) {
      const reason = reasonOf(error);
      throw (
        (isVague(reason) ? first : undefined) ??
        reason ??
        new Error('The sentinel closed the connection.', { cause: error })
      );
    } finally {
      client.disconnect();
    }
  }

  #learn(sentinels: readonly (readonly string[])[]): void {
    for (const entry of sentinels) {
      const fields = new Map<string, string>();
      for (let index = 0; index < entry.length; index += 2) fields.set(entry[index]!, entry[index + 1]!);
      const [host, port] = [fields.get('ip'), Number(fields.get('port'))];
      if (!host || !port || fields.get('flags')?.includes('disconnected')) continue;
      const endpoint = this.#mapped({ host, port });
      if (this.#endpoints.some((known) => nameOf(known) === nameOf(endpoint))) continue;
      this.#endpoints.push(endpoint);
    }
  }

  #mapped(endpoint: Endpoint): Endpoint {
    const { natMap } = this.options;
    const name = nameOf(endpoint);
    return (typeof natMap === 'function' ? natMap(name) : natMap?.[name]) ?? endpoint;
  }

  #watch(stream: Socket): void {
    this.#unwatch();
    const { name, sentinelMaxConnections = 10, sentinelReconnectStrategy: retryStrategy } = this.options;
    this.#watchers = this.#endpoints.slice(0, sentinelMaxConnections).map((endpoint) => {
      const client = this.#clientOf(endpoint, { retryStrategy, autoResubscribe: false });
      client.on('error', () => undefined);
      client.on('ready', () => void client.subscribe('+switch-master').catch(() => undefined));
      client.on('message', (_, message: string) => {
        if (message.split(' ', 1)[0] === name && this.stream === stream) this.disconnect();
      });
      client.connect().catch(() => undefined);
      return client;
    });
  }

  #unwatch(): void {
    for (const client of this.#watchers.splice(0)) client.disconnect();
  }

  #clientOf({ host, port, family }: Endpoint, more: RedisOptions = {}): Redis {
    const { options } = this;
    const { connectTimeout = 5000, sentinelCommandTimeout, sentinelTLS } = options;
    const client = new Redis({
      host,
      port,
      family: family ?? options.family,
      // ioredis has null for "none".
      username: options.sentinelUsername || undefined,
      password: options.sentinelPassword || undefined,
      ...(sentinelTLS ? { tls: sentinelTLS } : {}),
      ...(options.protocol ? { protocol: options.protocol } : {}),
      connectTimeout: Math.max(SHORTEST, connectTimeout / this.#endpoints.length),
      commandTimeout: sentinelCommandTimeout,
      enableReadyCheck: false,
      lazyConnect: true,
      retryStrategy: () => null,
      ...more,
    });
    hearAllErrors(client);
    return client;
  }
}

const nameOf = ({ host, port }: Endpoint): string => `${host}:${port}`;
