// One process that takes a lock again and again and writes to a fenced resource while it believes to hold it.
// argv: id, lock server, resource server, TTL in ms, 'clock' | 'grant' (what it trusts), 'fenced' | 'unfenced'
// Tells its parent {type: 'acquired'|'ended'|'refused'}; ends on SIGTERM. Times are CLOCK_MONOTONIC, the same for all processes of a machine.
import 'reflect-metadata';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { Redis } from 'ioredis';
import { DistLockModule, LockService } from 'nestjs-dist-lock';
import { RedisDriver } from 'nestjs-dist-lock/redis';
import { FencedResource } from '../support/history/fenced-resource.mjs';

const [id, lockUrl, resourceUrl, ttl, trust, fencing] = process.argv.slice(2);
const now = () => Number(process.hrtime.bigint()) / 1e6;
const tell = (message) => process.send({ id, ...message });

class AppModule {}
Module({
  imports: [
    DistLockModule.forRoot({
      driver: new RedisDriver({ url: lockUrl }),
      namespace: 'faults',
      lock: { ttl: Number(ttl), wait: 'forever' },
    }),
  ],
})(AppModule);

const app = await NestFactory.createApplicationContext(AppModule, { logger: false });
const locks = app.get(LockService);
const redis = new Redis(resourceUrl);
const resource = new FencedResource(redis, 'resource');
const ending = new AbortController();
process.once('SIGTERM', () => ending.abort());

while (!ending.signal.aborted) {
  const lock = await locks.acquire('shared');
  const from = now();
  const aborted = once(lock.signal, 'abort');
  const believes = () => trust === 'grant' || lock.held;
  tell({ type: 'acquired', token: lock.fencingToken });
  let until = from;
  const write = async () => {
    const accepted = await resource.write(lock.fencingToken, id, fencing === 'fenced');
    if (!accepted) tell({ type: 'refused', token: lock.fencingToken });
  };
  for (let work = 0; work < 40 && believes(); work++) {
    until = now();
    await sleep(5);
    await write();
    if (believes()) until = now();
  }
  const held = lock.held;
  if (!held) {
    await aborted;
    // What code does that was stopped between its last look at the lock and its write.
    await write();
  }
  tell({ type: 'ended', token: lock.fencingToken, from, until, held });
  await lock.release();
  await sleep(Math.random() * 10);
}
redis.disconnect();
await app.close();
process.disconnect();
