import { RedisDriver } from 'nestjs-dist-lock/redis';
import { expect, it } from 'vitest';
import { heartbeat } from '../../lib/core/lock-driver.js';
import { request } from '../support/engine/engine.js';
import { RealEngine } from '../support/engine/real-engine.js';
import { useRedis } from '../support/servers/use-redis.js';

const redis = useRedis();
const name = 'test:l:k';
// A renewal that is due after a heartbeat of 500 ms has as long again before the lease that is believed in is over.
const ttl = 3000;

function engine(id: string): RealEngine {
  const created = new RealEngine(new RedisDriver({ url: redis.server.url }), id);
  redis.closing.push(() => created.manager.close(0));
  return created;
}

/** Who may publish, and knows the holder ids, says that the waiter was granted the lock. */
async function forge(change: { token?: (token: number) => number | string; tokens?: string; ttl?: string }) {
  const [holder, waiter] = [engine('holder'), engine('waiter')];
  const held = await holder.manager.acquire(request({ ttl }));
  const waiting = waiter.manager.acquire(request({ ttl, limit: { wait: 60_000 } }));
  let granted = false;
  void waiting.then(() => (granted = true));
  await expect.poll(() => redis.admin.llen(`{${name}}:q`)).toBe(1);
  await waiter.event('contended');
  const [entry] = await redis.admin.lrange(`{${name}}:q`, 0, 0);
  const [id, inbox] = entry!.split(' ');
  const { token = (before) => before + 64, tokens = '64', ttl: armed = String(4 * heartbeat(ttl)) } = change;
  const message = `granted ${id} ${token(held.fencingToken)} ${tokens} ${armed} 0 {${name}}`;
  expect(await redis.admin.publish(inbox!, message)).toBe(1);
  return { held, waiting, isGranted: () => granted, renewed: () => holder.event('renewed') };
}

it.each([
  ['a token that was granted before', { token: (token: number) => token }],
  ['a token of next year', { token: (token: number) => token + 3e13 }],
  ['a token above all', { token: () => Number.MAX_SAFE_INTEGER }],
  ['a token that is none', { token: () => '9'.repeat(30) }],
  ['no tokens', { tokens: '0' }],
  ['a TTL of nothing', { ttl: '0' }],
  ['a TTL that is no number', { ttl: 'forever' }],
])('a published grant with %s gives no lock', async (_, change) => {
  const { held, waiting, isGranted, renewed } = await forge(change);
  // The waiter has asked again by then.
  await renewed();
  expect(isGranted()).toBe(false);
  await held.release();
  const lock = await waiting;
  expect(lock.fencingToken).toBe(Number((await redis.admin.get(`{${name}}`))!.split(' ')[1]));
  await lock.release();
});

// Rule S10 of docs/internals/safety.md.
it('a published grant that can be true gives a lock until the first renewal, whatever it promises', async () => {
  const { held, waiting } = await forge({ ttl: String(20 * 86_400_000), tokens: '1000000' });
  const lock = await waiting;
  expect(lock.remaining).toBeLessThanOrEqual(4 * heartbeat(ttl));
  if (!lock.signal.aborted) await new Promise((resolve) => lock.signal.addEventListener('abort', resolve));
  expect(lock.signal.reason).toMatchObject({ reason: 'gone' });
  expect(held.held).toBe(true);
  await held.release();
});
