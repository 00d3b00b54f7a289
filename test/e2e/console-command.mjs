// A console command of an application: it uses a lock, asks to lead as other code of the application may, and ends by
// process.exit() when its parent says so.
// Arguments: Redis URL, milliseconds of the lease of the leader, JSON of further options.
import 'reflect-metadata';
import { once } from 'node:events';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { DistLockModule, LeaderService, LockService } from 'nestjs-dist-lock';
import { RedisDriver } from 'nestjs-dist-lock/redis';

const [, , url, leaseDuration, options] = process.argv;
class AppModule {}
Module({
  imports: [
    DistLockModule.forRoot({
      driver: new RedisDriver({ url }),
      namespace: 'shop',
      instance: { id: 'command' },
      elections: [{ leaseDuration: Number(leaseDuration) }],
      ...JSON.parse(options),
    }),
  ],
})(AppModule);

const app = await NestFactory.createApplicationContext(AppModule, { logger: ['error'] });
await app.get(LeaderService).campaign();
await app.get(LockService).withLock('import', async () => process.send({ type: 'locked' }));
const [message] = await once(process, 'message');
process.exit(message.code);
