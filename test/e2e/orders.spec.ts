import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type INestApplication, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { describe, expect, it, onTestFinished } from 'vitest';
import { wrappingsOf } from '../../lib/decorators/wrap-method.js';
import { type Order, OrderStore } from '../../sample-app/orders/order-store.js';
import { OrdersController } from '../../sample-app/orders/orders.controller.js';
import { type ChargeResult, OrdersService } from '../../sample-app/orders/orders.service.js';
import { RedisOrderStore } from '../../sample-app/orders/redis-order-store.js';
import { Replica } from '../../sample-app/replica.js';
import { ReplicaProcess, startRedis } from './replica.js';

const REQUESTS = 200;

interface Outcome {
  readonly charged: number;
  readonly alreadyCharged: number;
  readonly order: Order;
}

/** Sends one order so often, at once, to the replicas in turn. */
async function chargeAtOnce(urls: readonly string[]): Promise<Outcome> {
  const answers = await Promise.all(
    Array.from({ length: REQUESTS }, async (_, index) => {
      const response = await fetch(`${urls[index % urls.length]!}/orders/42/charge`, { method: 'POST' });
      return (await response.json()) as ChargeResult;
    }),
  );
  const order = await fetch(`${urls[0]!}/orders/42`);
  return {
    charged: answers.filter(({ status }) => status === 'charged').length,
    alreadyCharged: answers.filter(({ status }) => status === 'already-charged').length,
    order: (await order.json()) as Order,
  };
}

describe(`${REQUESTS} requests for one order over three replicas`, () => {
  it('charge it once, and are never two inside', async () => {
    const REDIS_URL = await startRedis();
    const replicas = await Promise.all([0, 1, 2].map(() => ReplicaProcess.start({ REDIS_URL })));
    const outcome = await chargeAtOnce(replicas.map(({ url }) => url));
    expect(outcome).toMatchObject({ charged: 1, alreadyCharged: REQUESTS - 1, order: { mostInside: 1 } });
    expect(outcome.order.charges).toHaveLength(1);
  });

  it('negative control: without the lock the same service charges twice, and this test sees it', async () => {
    const url = await startRedis();
    const urls = await Promise.all([0, 1, 2].map(() => startUnlocked(url)));
    const { charged, order } = await chargeAtOnce(urls);
    expect(charged).toBeGreaterThan(1);
    expect(order.charges.length).toBeGreaterThan(1);
    expect(order.mostInside).toBeGreaterThan(1);
  });
});

/** One replica, as the sample has it, whose `charge` has lost its `@WithLock`. */
async function startUnlocked(redisUrl: string): Promise<string> {
  const orders = new RedisOrderStore(redisUrl);
  const service = new UnlockedOrdersService(orders, new SilentReplica('unlocked', 0));

  @Module({
    controllers: [OrdersController],
    providers: [
      { provide: OrderStore, useValue: orders },
      { provide: OrdersService, useFactory: () => service },
    ],
  })
  class UnlockedModule {}

  const application = await NestFactory.create<INestApplication<Server>>(UnlockedModule, { logger: false });
  onTestFinished(async () => {
    await application.close();
    await orders.close();
  });
  await application.listen(0);
  return `http://localhost:${(application.getHttpServer().address() as AddressInfo).port}`;
}

class UnlockedOrdersService extends OrdersService {
  override charge(id: string): Promise<ChargeResult> {
    const [wrapping] = wrappingsOf(OrdersService.prototype.charge);
    const lock = { fencingToken: 0, signal: new AbortController().signal };
    return Reflect.apply(wrapping!.original, this, [id, lock]) as Promise<ChargeResult>;
  }
}

class SilentReplica extends Replica {
  override log(): void {}
}
