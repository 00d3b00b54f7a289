import type { Server } from 'node:net';
import type { INestApplication, INestMicroservice } from '@nestjs/common';
import { type ClientProxy, ClientProxyFactory, type TcpOptions, Transport } from '@nestjs/microservices';
import { firstValueFrom } from 'rxjs';
import { onTestFinished } from 'vitest';
import { type AppOptions, closing, compile, portOf } from './app.js';

const OPTIONS = { host: '127.0.0.1', port: 0 };

/** Makes an application answer messages over TCP, too, and returns a client of it. */
export async function connectTcp(app: INestApplication): Promise<TcpClient> {
  const microservice = app.connectMicroservice<TcpOptions>({ transport: Transport.TCP, options: OPTIONS });
  await app.startAllMicroservices();
  return new TcpClient(portOf(microservice.unwrap<Server>()));
}

/** An application that answers messages over TCP and nothing else, and a client of it. */
export async function serveTcp(options: AppOptions): Promise<{ app: INestMicroservice; client: TcpClient }> {
  const module = await compile(options);
  const app = closing(module.createNestMicroservice<TcpOptions>({ transport: Transport.TCP, options: OPTIONS }));
  await app.listen();
  return { app, client: new TcpClient(portOf(app.unwrap<Server>())) };
}

export class TcpClient {
  readonly #proxy: ClientProxy;

  constructor(port: number) {
    const proxy = ClientProxyFactory.create({ transport: Transport.TCP, options: { ...OPTIONS, port } });
    onTestFinished(() => void proxy.close());
    this.#proxy = proxy;
  }

  /** The answer to a message; rejects with the payload of an error. */
  send(pattern: string, data: unknown): Promise<unknown> {
    return firstValueFrom(this.#proxy.send<unknown, unknown>(pattern, data));
  }

  /** Resolves when an event is on its way; nobody answers. */
  async emit(pattern: string, data: unknown): Promise<void> {
    await firstValueFrom(this.#proxy.emit<unknown, unknown>(pattern, data), { defaultValue: undefined });
  }
}
