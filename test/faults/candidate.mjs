// One process of an application that campaigns, and that writes to a fenced resource while it believes to lead.
// argv: instance id, server, JSON of the election's options, 'clock' | 'flag' (what it trusts), 'fenced' | 'unfenced'
// Tells its parent {type: 'ready' | 'believes' | 'ended' | 'stalled' | 'refused'}; ends on SIGTERM. Times are CLOCK_MONOTONIC, the
// same for all processes of a machine.
import 'reflect-metadata';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { Redis } from 'ioredis';
import { DistLockModule, LeaderService } from 'nestjs-dist-lock';
import { RedisDriver } from 'nestjs-dist-lock/redis';
import { FencedResource } from '../support/history/fenced-resource.mjs';

const [id, url, election, trust, fencing] = process.argv.slice(2);
/** One that waits and is silent for so long, in milliseconds, may have been handed the lease and not have noticed. */
const STALL = 200;
const now = () => Number(process.hrtime.bigint()) / 1e6;
const tell = (message) => process.connected && process.send(message);
process.once('disconnect', () => process.exit());

class AppModule {}
Module({
  imports: [
    DistLockModule.forRoot({
      driver: new RedisDriver({ url }),
      namespace: 'faults',
      instance: { id },
      elections: [JSON.parse(election)],
    }),
  ],
})(AppModule);

const app = await NestFactory.createApplicationContext(AppModule, { logger: false });
const leader = app.get(LeaderService);
const redis = new Redis(url);
const resource = new FencedResource(redis, 'resource');

let told = null;
/** The term in which it believes to lead now, and when that was so. */
function belief() {
  const { term } = trust === 'flag' ? { term: told } : leader.state;
  // Before the question: leading begins in no other way than by news, so what is true after this was true at it.
  const at = now();
  return trust === 'flag' || leader.isLeader() ? { term, at } : { term: null, at };
}

let believed = null;
let looked = now();
function look() {
  const { term, at } = belief();
  if (at - looked > STALL && !believed) tell({ type: 'stalled', from: looked, until: at });
  looked = at;
  if (believed && believed !== term) tell({ type: 'ended', token: believed.number, at: now() });
  believed = term;
  if (!term) return;
  tell({ type: 'believes', token: term.number, at });
}

async function write(token) {
  if (!(await resource.write(token, id, fencing === 'fenced'))) tell({ type: 'refused', token });
}

async function work(term) {
  while (belief().term === term) {
    await write(term.number);
    await sleep(5);
  }
  // What code does that was stopped between its last look and its write.
  await write(term.number);
}

const looking = setInterval(look, 3);
let working = Promise.resolve();
leader.state$.subscribe(({ term }) => {
  const isNew = term && term !== told;
  told = term;
  look();
  if (isNew) working = work(term);
});
const terminated = once(process, 'SIGTERM');
tell({ type: 'ready' });

await terminated;
await app.close();
clearInterval(looking);
await working;
await redis.quit();
process.removeAllListeners('disconnect');
process.disconnect();
