import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { LeaderService } from 'nestjs-dist-lock';
import { RedisDriver } from 'nestjs-dist-lock/redis';
import { describe, expect, it, onTestFinished } from 'vitest';
import { knownLeader, leading, start } from '../support/nest/app.js';
import { useRedis } from '../support/servers/use-redis.js';

const LEASE = 4000;
const redis = useRedis();

/** Resolves when the command has done its work and waits for its end. */
async function command(env: Record<string, string>, options: object = {}): Promise<ChildProcess> {
  const file = fileURLToPath(new URL('console-command.mjs', import.meta.url));
  const args = [redis.server.url, String(LEASE), JSON.stringify(options)];
  const child = fork(file, args, { env: { ...process.env, ...env }, stdio: 'inherit' });
  onTestFinished(() => void child.kill('SIGKILL'));
  await once(child, 'message');
  return child;
}

function replica() {
  return start({
    locks: {
      driver: new RedisDriver({ url: redis.server.url }),
      namespace: 'shop',
      instance: { id: 'replica' },
      elections: [{ leaseDuration: LEASE }],
    },
  });
}

async function end(child: ChildProcess): Promise<void> {
  child.send({ code: 0 });
  expect(await once(child, 'exit')).toEqual([0, null]);
}

/** A deployment in which the command comes up before the replicas do. */
describe('a console command that ends by process.exit()', () => {
  it.each<[string, Record<string, string>, object]>([
    ['DIST_LOCK_OBSERVE_ONLY=1', { DIST_LOCK_OBSERVE_ONLY: '1' }, {}],
    ['DIST_LOCK_OBSERVE_ONLY=true', { DIST_LOCK_OBSERVE_ONLY: 'true' }, {}],
    ['observeOnly: true', {}, { observeOnly: true }],
  ])('leaves no gap in the leadership with %s, and is no member', async (_how, env, options) => {
    const child = await command(env, options);
    const app = await replica();
    const leader = await leading(app);
    expect((await leader.members()).map(({ id }) => id)).toEqual(['replica']);
    await end(child);
    expect(leader.isLeader()).toBe(true);
  });

  it('control: leaves nobody leading until its lease has ended', async () => {
    const child = await command({});
    const app = await replica();
    expect(await knownLeader(app)).toMatchObject({ id: 'command' });
    await end(child);
    const ended = performance.now();
    expect(app.get(LeaderService).isLeader()).toBe(false);
    await leading(app);
    expect(performance.now() - ended).toBeGreaterThan(LEASE / 2);
  });
});
