import { RedisDriver } from 'nestjs-dist-lock/redis';
import { filter, firstValueFrom } from 'rxjs';
import { expect, it } from 'vitest';
import { SystemClock } from '../../lib/core/clock.js';
import { Candidate } from '../support/engine/candidate.js';
import { FaultyDriver } from '../support/engine/faulty-driver.js';
import { RealEngine } from '../support/engine/real-engine.js';
import { useRedis } from '../support/servers/use-redis.js';

const redis = useRedis();

type Instance = Awaited<ReturnType<typeof join>>;

async function join(id: string) {
  const driver = new FaultyDriver(new RedisDriver({ url: redis.server.url }), new SystemClock());
  const { manager } = new RealEngine(driver, id);
  // Heartbeats and polls are a second apart.
  const timings = { leaseDuration: 6000, renewDeadline: 4000, retryPeriod: 1000 };
  const instance = new Candidate({ driver, manager }, id, timings);
  redis.closing.push(() => manager.close(0));
  redis.closing.push(() => instance.leader.stop());
  await instance.start();
  return instance;
}

async function hasRole(instance: Instance, role: string): Promise<void> {
  await firstValueFrom(instance.leader.state$.pipe(filter((state) => state.role === role)));
}

/** Milliseconds from `resign()` to the successor's `state$`, the median of so many hand-overs. */
async function handOvers(rounds: number, deaf = false): Promise<number> {
  let from = await join('a');
  await hasRole(from, 'leader');
  let to = await join('b');
  const took: number[] = [];
  for (let round = 0; round < rounds; round++) {
    await hasRole(to, 'candidate');
    await expect.poll(async () => (await redis.admin.keys('*:e:*:q')).length, { interval: 5 }).toBe(1);
    to.engine.driver.deaf = deaf;
    const began = performance.now();
    const resigned = from.leader.resign();
    await hasRole(to, 'leader');
    took.push(performance.now() - began);
    await resigned;
    await from.leader.campaign();
    to.engine.driver.deaf = false;
    [from, to] = [to, from];
  }
  return took.sort((x, y) => x - y)[Math.floor(rounds / 2)]!;
}

// A few milliseconds on an idle machine.
it('a resignation reaches the successor at once on Redis', async () => {
  expect(await handOvers(30)).toBeLessThan(250);
});

it('a successor that does not hear the push is later: the control', async () => {
  expect(await handOvers(3, true)).toBeGreaterThan(250);
});
