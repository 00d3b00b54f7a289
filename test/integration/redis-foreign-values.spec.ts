import { LockConfigError } from 'nestjs-dist-lock';
import { RedisDriver } from 'nestjs-dist-lock/redis';
import { describe, expect, it } from 'vitest';
import { request } from '../support/engine/engine.js';
import { RealEngine } from '../support/engine/real-engine.js';
import { useRedis } from '../support/servers/use-redis.js';

const redis = useRedis();
const KEY = '{test:l:k}';

async function connected(): Promise<RealEngine> {
  const engine = new RealEngine(new RedisDriver({ url: redis.server.url }));
  redis.closing.push(() => engine.manager.close(0));
  await engine.manager.connect();
  return engine;
}

// What another application, or a hand, may have put under the name of a lock.
describe('a value of somebody else under the name of a lock', () => {
  it.each<[string, (string | number)[]]>([
    ['a word', ['SET', KEY, 'locked']],
    ['nothing', ['SET', KEY, '']],
    ['the id of another lock library', ['SET', KEY, '8f1d3c2a-5b7e']],
    ['words', ['SET', KEY, 'a b c d']],
    ['JSON', ['SET', KEY, '{"holder":"x"}']],
    ['nearly a lease', ['SET', KEY, 'holder 5 inbox {"instance":5}']],
    ['nearly a lease, without JSON', ['SET', KEY, 'holder 5 inbox null']],
    ['a lease that never ends', ['SET', KEY, 'holder 5 inbox 1 {"instance":"x","metadata":{}}']],
    ['a list', ['RPUSH', KEY, 'x']],
    ['a hash', ['HSET', KEY, 'field', 'x']],
  ])('%s is an error that says so', async (_, [command, ...args]) => {
    const { manager } = await connected();
    await redis.admin.call(command as string, ...args);
    const attempts = {
      acquire: () => manager.acquire(request({ limit: { wait: 5000 } })),
      tryAcquire: () => manager.tryAcquire(request({ limit: { attempts: 1, retryDelay: 1 } })),
      inspect: () => manager.inspect('test:l:k'),
    };
    for (const [name, attempt] of Object.entries(attempts)) {
      const error: unknown = await attempt().catch((reason: unknown) => reason);
      expect(error, name).toBeInstanceOf(LockConfigError);
      expect((error as Error).message, name).toMatch(/[Aa]nother application uses this key[:.]? .*`namespace`/);
    }
    // Nobody waits for what may never end.
    expect(await redis.admin.exists(`${KEY}:q`, `${KEY}:w`)).toBe(0);
    expect(await redis.admin.exists(KEY)).toBe(1);
  });
});
