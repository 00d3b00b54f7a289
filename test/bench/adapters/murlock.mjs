// npm: murlock, through the service of its Nest module.
import 'reflect-metadata';
import { NestFactory } from '@nestjs/core';
import { MurLockModule, MurLockService } from 'murlock';
import { untilReleased } from '../harness/until-released.mjs';

export const commands = ['eval', 'evalsha'];
export const contestants = [
  // What its documentation shows: `wait` and `maxAttempts` have no defaults.
  { name: 'murlock', settings: { wait: 1000, maxAttempts: 3 } },
  { name: 'murlock~5ms', settings: { blocking: true, wait: 5, maxAttempts: 3 }, waiting: true },
];

export async function open({ port }, settings) {
  const redisOptions = { url: `redis://127.0.0.1:${port}` };
  const module = MurLockModule.forRoot({ redisOptions, logLevel: 'error', ...settings });
  const application = await NestFactory.createApplicationContext(module, { logger: ['error'] });
  const service = application.get(MurLockService);
  return {
    acquire: (key, ttl) => untilReleased((task) => service.runWithLock(key, ttl, task)),
    close: () => application.close(),
  };
}
