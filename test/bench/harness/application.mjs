// Nest applications with this package. Outside of ../adapters, where 'nestjs-dist-lock' and Nest are those of the root.
import 'reflect-metadata';
import { Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { DistLockModule, LeaderOnly, LeaderService, LockService, WithLock } from 'nestjs-dist-lock';
import { EtcdDriver } from 'nestjs-dist-lock/etcd';
import { RedisDriver, RedlockDriver } from 'nestjs-dist-lock/redis';
import { filter, firstValueFrom } from 'rxjs';

/** An application whose locks are in Redis. It takes part in no election. */
export function openLocks(port) {
  return openLocksOf(new RedisDriver({ host: '127.0.0.1', port }));
}

/** The same on a quorum of servers. */
export function openQuorumLocks(ports) {
  return openLocksOf(new RedlockDriver({ servers: ports.map((port) => ({ host: '127.0.0.1', port })) }));
}

/** The same on etcd. */
export function openEtcdLocks(hosts) {
  return openLocksOf(new EtcdDriver({ hosts }));
}

async function openLocksOf(driver) {
  const module = DistLockModule.forRoot({
    driver,
    namespace: 'bench',
    elections: [{ autoCampaign: false }],
    failFast: true,
  });
  const application = await open(module);
  return { locks: application.get(LockService), close: () => application.close() };
}

/** A provider with decorated methods, in an application whose store costs nothing and grants everything. */
export async function openDecorated() {
  class Orders {
    async plain(order) {
      return order;
    }
    async withLock(order) {
      return order;
    }
    async leaderOnly(order) {
      return order;
    }
  }
  decorate(Orders, 'withLock', WithLock('order:{0.id}'));
  decorate(Orders, 'leaderOnly', LeaderOnly());
  Injectable()(Orders);

  class ApplicationModule {}
  Module({ imports: [DistLockModule.forRoot({ driver: nullDriver(), namespace: 'bench' })], providers: [Orders] })(
    ApplicationModule,
  );
  const application = await open(ApplicationModule);
  await firstValueFrom(application.get(LeaderService).isLeader$.pipe(filter(Boolean)));
  return { orders: application.get(Orders), close: () => application.close() };
}

async function open(module) {
  const application = await NestFactory.createApplicationContext(module, { logger: ['error', 'warn'] });
  return application.enableShutdownHooks();
}

/** What a compiler makes of a decorator on a method. */
function decorate({ prototype }, method, decorator) {
  const descriptor = Object.getOwnPropertyDescriptor(prototype, method);
  decorator(prototype, method, descriptor);
  Object.defineProperty(prototype, method, descriptor);
}

function nullDriver() {
  let fencingToken = 0;
  return {
    name: 'null',
    capabilities: { scope: 'server', queue: false, push: true, minTtl: 100 },
    connect: async () => {},
    acquire: async ({ ttl }) => ({ status: 'granted', fencingToken: ++fencingToken, tokens: 1, waiters: 0, ttl }),
    cancel: async () => {},
    renew: async (leases) => leases.map(() => 'held'),
    release: async () => true,
    inspect: async () => null,
    close: async () => {},
  };
}
