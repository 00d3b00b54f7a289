import { LockConfigError } from 'nestjs-dist-lock';
import { RedisDriver, RedlockDriver } from 'nestjs-dist-lock/redis';
import { driverContract } from 'nestjs-dist-lock/testing';
import { describe, expect, it } from 'vitest';
import { findOtherServer } from '../support/servers/other-servers.mjs';
import { RedisServer } from '../support/servers/redis-server.js';
import { useRedisServers } from '../support/servers/use-redis.js';

/**
 * For a few servers that are not this machine's own, where they were fetched. The other specs run on one server,
 * whichever the machine has, and `npm run test:servers` runs them on all of these.
 */
function describeOn(name: string, specs: (servers: readonly RedisServer[]) => void, count = 1): void {
  const binary = findOtherServer(name);
  const reason = binary ? '' : ' (not fetched: see test/support/servers/other-servers.mjs)';
  describe.skipIf(!binary)(`on ${name}${reason}`, () => {
    specs(useRedisServers(count, { binary }));
  });
}

const single = ([server]: readonly RedisServer[]): RedisDriver => new RedisDriver({ url: server!.url });
const quorum = (servers: readonly RedisServer[]): RedlockDriver =>
  new RedlockDriver({ servers: servers.map(({ url }) => url) });

// Nobody has 6.2 ready to run. What works on 6.0 needs no command, option of a command or Lua that is newer.
describe.each(['redis-8', 'valkey-8', 'redis-6.0-as-6.2'])('RedisDriver', (name) => {
  describeOn(name, (servers) => {
    for (const { name: title, run } of driverContract({ create: () => single(servers) })) it(title, run);
  });
});

describe('RedlockDriver', () => {
  const specs = (servers: readonly RedisServer[]): void => {
    for (const { name, run } of driverContract({ create: () => quorum(servers) })) it(name, run);
  };
  describeOn('redis-6.0-as-6.2', specs, 3);
});

describe('a server before 6.2 is refused', () => {
  const specs = (servers: readonly RedisServer[]): void => {
    it.each([
      ['RedisDriver', single],
      ['RedlockDriver', quorum],
    ])('by %s', async (_, create) => {
      const driver = create(servers);
      const listener = (): void => undefined;
      const refusal = driver.connect(listener);
      await expect(refusal).rejects.toThrow(/is version 6\.0\.\d+; RedisDriver needs Redis 6\.2 or later, or Valkey/);
      await expect(refusal).rejects.toThrow(LockConfigError);
      await driver.close(listener);
    });
  };
  describeOn('redis-6.0', specs, 3);
});
