import { RedlockDriver } from 'nestjs-dist-lock/redis';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { bucketOf, marksKey } from '../../lib/drivers/redlock/lease-text.js';
import { scripts } from '../../lib/drivers/redlock/scripts/scripts.generated.js';
import { request } from '../support/engine/engine.js';
import { RealEngine } from '../support/engine/real-engine.js';
import { useAdmins, useRedisServers } from '../support/servers/use-redis.js';

const CLIENTS = 6;
const TURNS = 150;

const servers = useRedisServers(3);
const admins = useAdmins(servers);
const engines: RealEngine[] = [];
beforeAll(() => {
  for (let index = 0; index < CLIENTS; index++) {
    engines.push(new RealEngine(new RedlockDriver({ servers: servers.map(({ url }) => url) }), `i${index}`));
  }
});
afterAll(async () => {
  for (const { manager } of engines) await manager.close(0);
});

async function use(client: number, key: string): Promise<number> {
  const lock = await engines[client]!.manager.acquire(
    request({ key, storeKey: `test:l:${key}`, limit: { wait: 20_000 } }),
  );
  await lock.release();
  return lock.fencingToken;
}

/** How many of so many grants at once needed a second round trip, for which another one was above what they proposed. */
async function raisedOf(key: (client: number, turn: number) => string): Promise<number> {
  const monitor = await admins[0]!.monitor();
  let raised = 0;
  let isDone = false;
  monitor.on('monitor', (_: string, [command, sha]: string[]) => {
    if (command === 'evalsha' && sha === scripts.raise.sha) raised++;
    if (command === 'echo') isDone = true;
  });
  const client = async (index: number): Promise<void> => {
    for (let turn = 0; turn < TURNS; turn++) await use(index, key(index, turn));
  };
  await Promise.all(engines.map((_, index) => client(index)));
  await admins[0]!.echo('done');
  await expect.poll(() => isDone).toBe(true);
  monitor.disconnect();
  return raised;
}

it('a grant costs one round trip, whatever other clients get at the same time', async () => {
  for (let index = 0; index < CLIENTS; index++) await use(index, `warm ${index}`);
  const raised = await raisedOf((client, turn) => `order:${client}:${turn}`);
  expect(raised).toBeLessThan(0.05 * CLIENTS * TURNS);

  // The control: keys of one bucket, as all would be with one mark for all.
  const sameBucket = Array.from({ length: 1_000_000 }, (_, index) => `order:${index}`)
    .filter((key) => bucketOf({ key: `test:l:${key}` }) === 7)
    .slice(0, CLIENTS * TURNS);
  const raisedTogether = await raisedOf((client, turn) => sameBucket[client * TURNS + turn]!);
  expect(raisedTogether).toBeGreaterThan(2 * raised);
}, 60_000);

// Rule S7 of docs/internals/safety.md.
it.each<[string, () => Promise<unknown>]>([
  [
    'a server restarts without data',
    async () => {
      await servers[1]!.restart();
      await expect.poll(() => admins[1]!.ping().catch(() => undefined)).toBe('PONG');
    },
  ],
  ['all forget', () => Promise.all(admins.map((admin) => admin.flushall()))],
  [
    'a clock was a day ahead at one server, and was corrected',
    () => {
      const name = { key: 'test:l:k' };
      return admins[0]!.hset(marksKey(name), String(bucketOf(name)), String((Date.now() + 86_400_000) * 1000));
    },
  ],
])('tokens increase when %s', async (_, happen) => {
  let last = await use(0, 'k');
  await happen();
  for (let round = 0; round < 6; round++) {
    const token = await use(round % CLIENTS, 'k');
    expect(token).toBeGreaterThan(last);
    expect(token).toSatisfy(Number.isSafeInteger);
    last = token;
  }
});
