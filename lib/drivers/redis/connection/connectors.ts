import { createConnection, type NetConnectOpts, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { AbstractConnector, type RedisOptions } from 'ioredis';
import { type Sockets, TIME_TO_END } from './sockets.js';

export type ConnectorClass = NonNullable<RedisOptions['Connector']>;

/** The base of our connectors: fetches credentials and certificates, then opens a stream. */
export abstract class AccessConnector extends AbstractConnector {
  protected readonly options: RedisOptions;
  protected readonly sockets: Sockets;
  readonly #timeToEnd: number;

  constructor(options: unknown, sockets: Sockets) {
    const own = options as RedisOptions;
    const timeToEnd = Math.min(own.disconnectTimeout ?? TIME_TO_END, TIME_TO_END);
    super(timeToEnd);
    this.options = own;
    this.#timeToEnd = timeToEnd;
    this.sockets = sockets;
  }

  async connect(): Promise<Socket> {
    this.connecting = true;
    try {
      await this.sockets.access.refresh(this.options);
      return await this.open();
    } catch (error) {
      this.report(error as Error);
      throw error;
    }
  }

  /** The one of ioredis leaves a timer when the connection has ended before, and waits for a connection that never opened. */
  override disconnect(): void {
    this.connecting = false;
    const { stream } = this;
    if (!stream || stream.destroyed) return;
    if ('connecting' in stream && stream.connecting) {
      stream.destroy();
      return;
    }
    const timer = this.sockets.clock.after(this.#timeToEnd, () => stream.destroy());
    stream.once('close', () => timer.cancel());
    stream.end();
  }

  protected abstract open(): Promise<Socket>;

  protected openStream(at: NetConnectOpts, tls: RedisOptions['tls'], role?: string): Socket {
    this.assertConnecting();
    this.sockets.tried({ at, usesTls: Boolean(tls), role });
    const stream = tls ? connectTls({ ...at, ...tls }) : createConnection(at);
    this.sockets.opened(stream);
    this.stream = stream;
    stream.once('error', (error) => {
      this.firstError = error;
      this.report(error);
    });
    return stream;
  }

  /** @throws Error when the client was disconnected meanwhile */
  protected assertConnecting(): void {
    if (!this.connecting) throw new Error('Connection is closed.');
  }

  protected report(error: Error): void {
    this.sockets.report(error);
  }
}

/** Connects to one server, or one node of a cluster. @param masterOnly refuses a server that reports to be a replica */
export function directConnector(sockets: Sockets, masterOnly: boolean): ConnectorClass {
  return class extends AccessConnector {
    constructor(options: unknown) {
      super(options, sockets);
    }

    override check(info: { role?: string } | undefined): boolean {
      const fits = !masterOnly || (info?.role ?? 'master') === 'master';
      if (!fits) this.report(new Error('READONLY Its role is replica.'));
      return fits;
    }

    protected override async open(): Promise<Socket> {
      const { path, host = 'localhost', port = 6379, family, tls } = this.options;
      const at = path ? { path } : { host, port, ...(family ? { family } : {}) };
      return this.openStream(at, tls);
    }
  };
}
