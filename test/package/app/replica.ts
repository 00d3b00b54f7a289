import { setTimeout as sleep } from 'node:timers/promises';
import { Controller, Get, type INestApplication, Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { Interval, ScheduleModule } from '@nestjs/schedule';
import {
  CurrentLock,
  currentLock,
  DistLockModule,
  LeaderOnly,
  LeaderService,
  Lock,
  type LockDriver,
  LockService,
  WithLock,
} from 'nestjs-dist-lock';

/** Calls of `charge` that run at this moment, over all replicas: they are of one process. */
const inside = { now: 0, most: 0 };

@Injectable()
class Billing {
  ticks = 0;

  constructor(
    readonly leader: LeaderService,
    readonly locks: LockService,
  ) {}

  @WithLock('order:{0}')
  async charge(_order: string, @CurrentLock() lock?: Lock): Promise<number> {
    inside.most = Math.max(inside.most, ++inside.now);
    await sleep(5);
    if (lock?.key !== 'order:7' || !lock.held || currentLock() !== lock) throw new Error('No lock inside of charge().');
    inside.now--;
    return lock.fencingToken;
  }

  @Interval(20)
  @LeaderOnly()
  async tick(): Promise<void> {
    this.ticks++;
  }
}

@Controller()
class Admin {
  @LeaderOnly()
  @Get('admin')
  async admin(): Promise<string> {
    return 'done';
  }

  @WithLock('report', { otherwise: 'reject' })
  @Get('report')
  async report(): Promise<string> {
    return 'done';
  }
}

export interface Replica {
  readonly app: INestApplication;
  readonly billing: Billing;
  readonly url: string;
}

export async function startReplica(id: string, driver: LockDriver): Promise<Replica> {
  @Module({
    imports: [
      ScheduleModule.forRoot(),
      DistLockModule.forRoot({
        driver,
        failFast: true,
        namespace: process.env['NAMESPACE'] ?? 'app',
        instance: { id },
        elections: [{ leaseDuration: '3s', retryPeriod: 100 }],
      }),
    ],
    providers: [Billing],
    controllers: [Admin],
  })
  class AppModule {}

  const app = await NestFactory.create(AppModule, { logger: ['error', 'warn'] });
  app.enableShutdownHooks();
  await app.listen(0, '127.0.0.1');
  return { app, billing: app.get(Billing), url: await app.getUrl() };
}

export function mostInside(): number {
  return inside.most;
}
