// A process whose only work is a caller that waits for a lock, which is refused after `wait` milliseconds (argv).
import 'reflect-metadata';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { DistLockModule, LockService } from 'nestjs-dist-lock';

class AppModule {}
Module({ imports: [DistLockModule.forRoot({ namespace: 'test', lock: { ttl: '1m' } })] })(AppModule);

const app = await NestFactory.createApplicationContext(AppModule, { logger: false });
const locks = app.get(LockService);
await locks.acquire('k');
console.log('ready');
const code = await locks.acquire('k', { wait: Number(process.argv[2]) }).catch((error) => error.code);
console.log(code);
