import { MemoryDriver } from 'nestjs-dist-lock/memory';
import { RedisDriver } from 'nestjs-dist-lock/redis';
import { electionSuite } from '../support/election-suite.js';
import { useRedis } from '../support/use-redis.js';

const memory = new MemoryDriver();
electionSuite('MemoryDriver', () => memory);

const redis = useRedis();
electionSuite('RedisDriver', () => new RedisDriver({ url: redis.server.url }));
