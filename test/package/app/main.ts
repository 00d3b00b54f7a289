// What an application of a user does with the package: two replicas of it, in one process. Prints a report.
import 'reflect-metadata';
import { setTimeout as sleep } from 'node:timers/promises';
import type { LockDriver } from 'nestjs-dist-lock';
import { MemoryDriver } from 'nestjs-dist-lock/memory';
import { driverContract } from 'nestjs-dist-lock/testing';
import { filter, firstValueFrom, timeout } from 'rxjs';
import { mostInside, type Replica, startReplica } from './replica.js';

async function drivers(url: string | undefined): Promise<[LockDriver, LockDriver]> {
  if (url === undefined) {
    const driver = new MemoryDriver();
    return [driver, driver];
  }
  // Not imported above: an application without ioredis has no such driver.
  const { RedisDriver } = await import('nestjs-dist-lock/redis');
  return [new RedisDriver({ url }), new RedisDriver({ url })];
}

async function leads({ billing: { leader } }: Replica): Promise<void> {
  await firstValueFrom(leader.isLeader$.pipe(filter(Boolean), timeout(10_000)));
}

async function get({ url }: Replica, path: string): Promise<string> {
  const response = await fetch(`${url}/${path}`);
  const headers = ['Retry-After', 'X-Leader'].map((name) => response.headers.get(name)).filter(Boolean);
  return [response.status, ...headers].join(' ');
}

async function main(): Promise<void> {
  const [one, other] = await drivers(process.env['REDIS_URL']);
  const first = await startReplica('first', one);
  await leads(first);
  const second = await startReplica('second', other);
  const replicas = [first, second];

  const tokens = await Promise.all(Array.from({ length: 10 }, (_, index) => replicas[index % 2]!.billing.charge('7')));
  const lock = await first.billing.locks.acquire('report', { ttl: '5s' });
  const refused = await second.billing.locks.tryAcquire('report');
  const holder = await second.billing.locks.describe('report');
  const busy = await get(second, 'report');
  await lock.release();
  while (!second.billing.leader.state.leader) await sleep(5);
  const before = await Promise.all(replicas.map((replica) => get(replica, 'admin')));
  while (first.billing.ticks < 3) await sleep(5);
  const ticks = replicas.map(({ billing }) => billing.ticks > 0);

  await first.app.close();
  await leads(second);
  const after = await get(second, 'admin');
  await second.app.close();

  const own = new MemoryDriver();
  for (const { run } of driverContract({ create: () => own, shortTtl: 50 })) await run();
  const report = {
    inside: mostInside(),
    tokens: new Set(tokens).size,
    refused: refused === null,
    holder: holder?.instance,
    busy,
    before,
    ticks,
    after,
  };
  process.stdout.write(`${JSON.stringify(report)}\n`);
}

main().catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`);
  process.exitCode = 1;
});
