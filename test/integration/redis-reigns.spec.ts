import { Redis } from 'ioredis';
import { describe, expect, it } from 'vitest';
import { RedisServer } from '../support/servers/redis-server.js';
import { useRedis } from '../support/servers/use-redis.js';

const redis = useRedis();

/** A server of its own, and what knows it. */
async function server(): Promise<{ own: RedisServer; admin: Redis }> {
  const own = await RedisServer.start();
  redis.closing.push(() => own.stop());
  const admin = new Redis(own.url);
  redis.closing.push(() => admin.disconnect());
  return { own, admin };
}

async function reignOf(admin: Redis): Promise<string> {
  const info = await admin.info('replication');
  expect(info).toContain('role:master');
  return /master_replid:(\w{40})/.exec(info)![1]!;
}

async function follow(replica: Redis, { port }: RedisServer): Promise<void> {
  await replica.replicaof('127.0.0.1', port);
  await expect.poll(() => replica.info('replication'), { timeout: 15_000 }).toContain('master_link_status:up');
}

describe('the replication id of a master, by which failoverQuarantine knows it,', () => {
  it('stays the same while nothing happens', async () => {
    const { admin } = await server();
    const before = await reignOf(admin);
    await admin.flushall();
    expect(await reignOf(admin)).toBe(before);
  });

  it.each([
    ['without its data', async () => {}],
    ['with its data', (admin: Redis) => admin.save()],
  ])('is another one after a restart %s', async (_, prepare) => {
    const { own, admin } = await server();
    const before = await reignOf(admin);
    await admin.set('key', 'value');
    await prepare(admin);
    await own.restart();
    expect(await reignOf(admin)).not.toBe(before);
  });

  it('is a new one for each replica that becomes a master, of the same process also', async () => {
    const [one, two] = [await server(), await server()];
    await follow(two.admin, one.own);
    const seen = [await reignOf(one.admin)];
    for (const [next, last] of [
      [two, one],
      [one, two],
      [two, one],
    ] as const) {
      await next.admin.replicaof('NO', 'ONE');
      seen.push(await reignOf(next.admin));
      await follow(last.admin, next.own);
    }
    expect(new Set(seen).size).toBe(4);
  });

  it('is a new one also for a replica that has not been in touch with its master', async () => {
    const [one, two] = [await server(), await server()];
    const before = await reignOf(one.admin);
    two.own.pause();
    redis.closing.push(() => two.own.tryResume());
    await one.admin.replicaof('127.0.0.1', two.own.port);
    await one.admin.replicaof('NO', 'ONE');
    expect(await reignOf(one.admin)).not.toBe(before);
  });
});
