import { LockConfigError } from 'nestjs-dist-lock';
import { RedisDriver, RedlockDriver } from 'nestjs-dist-lock/redis';
import { driverContract } from 'nestjs-dist-lock/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findOtherServer } from '../support/other-servers.mjs';
import { RedisServer } from '../support/redis-server.js';
import { TcpProxy } from '../support/tcp-proxy.js';

/** The other specs run on one server, whichever the machine has; `npm run test:servers` runs them on all of these. */
function describeOn(name: string, specs: (binary: string) => void): void {
  const binary = findOtherServer(name);
  const reason = binary ? '' : ' (not fetched: see test/support/other-servers.mjs)';
  describe.skipIf(!binary)(`on ${name}${reason}`, () => specs(binary ?? ''));
}

describe.each(['redis-8', 'valkey-8'])('RedisDriver', (name) => {
  describeOn(name, (binary) => {
    let server: RedisServer;
    beforeAll(async () => {
      server = await RedisServer.start({ binary });
    });
    afterAll(() => server.stop());
    for (const { name: title, run } of driverContract({ create: () => new RedisDriver({ url: server.url }) })) {
      it(title, run);
    }
  });
});

// Nobody has 6.2 ready to run. What is older than that may be refused, and if it does not say how old it is, it works:
// then no script, and no command beside them, needs anything that is newer than 6.0.
describeOn('redis-6.0', (binary) => {
  const servers: RedisServer[] = [];
  const proxies: TcpProxy[] = [];
  beforeAll(async () => {
    for (let index = 0; index < 3; index++) {
      const server = await RedisServer.start({ binary });
      servers.push(server);
      const proxy = await TcpProxy.start(server.port);
      proxies.push(proxy);
      proxy.rewriteReplies((reply) => reply.replace('redis_version:6.0.', 'redis_version:6.2.'));
    }
  });
  afterAll(async () => {
    for (const proxy of proxies) await proxy.close();
    for (const server of servers) await server.stop();
  });

  it.each([
    ['RedisDriver', () => new RedisDriver({ url: servers[0]!.url })],
    ['RedlockDriver', () => new RedlockDriver({ servers: servers.map(({ url }) => url) })],
  ])('%s refuses it', async (_, create) => {
    const driver = create();
    const listener = (): void => undefined;
    const refusal = driver.connect(listener);
    await expect(refusal).rejects.toThrow(/is version 6\.0\.\d+; RedisDriver needs Redis 6\.2 or later, or Valkey/);
    await expect(refusal).rejects.toThrow(LockConfigError);
    await driver.close(listener);
  });

  const urls = (): string[] => proxies.map(({ port }) => `redis://127.0.0.1:${port}`);
  describe.each([
    ['RedisDriver', () => new RedisDriver({ url: urls()[0]! })],
    ['RedlockDriver', () => new RedlockDriver({ servers: urls() })],
  ])('with its version hidden: %s', (_, create) => {
    for (const { name, run } of driverContract({ create })) it(name, run);
  });
});
