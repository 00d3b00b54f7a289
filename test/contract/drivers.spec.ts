import { MemoryDriver } from 'nestjs-dist-lock/memory';
import { RedisDriver } from 'nestjs-dist-lock/redis';
import { driverContract } from 'nestjs-dist-lock/testing';
import { afterAll, beforeAll, beforeEach, describe, it } from 'vitest';
import { RedisServer } from '../support/redis-server.js';

describe('MemoryDriver', () => {
  let driver: MemoryDriver;
  beforeEach(() => {
    driver = new MemoryDriver();
  });
  for (const { name, run } of driverContract({ create: () => driver })) it(name, run);
});

describe('RedisDriver', () => {
  let server: RedisServer;
  beforeAll(async () => {
    server = await RedisServer.start();
  });
  afterAll(() => server.stop());
  for (const { name, run } of driverContract({ create: () => new RedisDriver({ url: server.url }) })) it(name, run);
});
