import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { INestApplication } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { AppModule, type ReplicaParts } from './app.module.js';
import { Replica } from './replica.js';

/** The stores that all replicas share. */
export type Stores = Pick<ReplicaParts, 'driver' | 'orders'>;

export interface RunningReplica {
  readonly replica: Replica;
  readonly url: string;
  readonly application: INestApplication;
}

/** @param port with 0 the operating system chooses; then the other replicas know no URL of this one */
export async function startReplica(index: number, port: number, stores: Stores): Promise<RunningReplica> {
  const replica = new Replica(`replica-${port || `${process.pid}-${index + 1}`}`, index);
  const parts = { ...stores, replica, url: port ? urlOf(port) : undefined };
  const application = await NestFactory.create<INestApplication<Server>>(AppModule.forReplica(parts), {
    logger: ['error', 'warn'],
  });
  try {
    await application.listen(port);
  } catch (error) {
    await application.close();
    throw new Error(`Cannot listen on port ${port}. Choose another one: PORT=4000 npm start`, { cause: error });
  }
  const url = urlOf((application.getHttpServer().address() as AddressInfo).port);
  replica.log(`listens on ${url}`);
  return { replica, url, application };
}

function urlOf(port: number): string {
  return `http://localhost:${port}`;
}
