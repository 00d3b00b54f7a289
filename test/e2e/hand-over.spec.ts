import { describe, expect, it } from 'vitest';
import { type ReplicaProcess, startFollower, startPair } from './replica.js';

const LEASE_DURATION = 5000;
const RENEW_DEADLINE = 3000;
const GRACE = 5000;
const TICK = 2000;

const LEADS = /★ leads/;
const REPORT = /wrote the nightly report of (\S+)/;

/** Resolves just after the next report of the leader, with most of two seconds left before the next tick. */
async function betweenTicks(leader: ReplicaProcess): Promise<void> {
  await leader.waitForLine(REPORT, leader.lines.length);
}

/** The ticks that a replica ran, as it told in its output. */
function ticks(replica: ReplicaProcess): string[] {
  return replica.matches(REPORT).map(([, tick]) => tick!);
}

describe('two processes on one Redis server', { timeout: 60_000 }, () => {
  it('kill -9: the other leads when the lease has run out, and not before the leader would have stopped', async () => {
    const { leader, follower } = await startPair();
    const killed = leader.kill('SIGKILL');
    const { at } = await follower.waitForLine(LEADS);
    expect(at - killed).toBeLessThan(LEASE_DURATION + 1000);
    expect(at - killed).toBeGreaterThan(RENEW_DEADLINE);
  });

  // More than once: a follower that is not told, but asks twice a second, may be in time by chance.
  it('SIGTERM: each time the other is told and leads at once, and the process ends well', async () => {
    let { leader, follower, redisUrl } = await startPair();
    for (let handOver = 1; handOver <= 4; handOver++) {
      await betweenTicks(leader);
      const stopped = leader.kill('SIGTERM');
      const { at } = await follower.waitForLine(LEADS);
      expect(at - stopped).toBeLessThan(300);
      const exit = await leader.exit;
      expect(exit).toMatchObject({ code: 0, signal: null });
      expect(exit.at - stopped).toBeLessThan(GRACE);
      [leader, follower] = [follower, await startFollower(redisUrl)];
    }
  });

  it('every tick runs once, on one of them, also around a hand-over between two ticks', async () => {
    const { leader: first, follower: second } = await startPair();
    for (let tick = 0; tick < 3; tick++) await betweenTicks(first);
    expect(await second.status()).toMatchObject({ role: 'candidate', term: null, reports: { run: [] } });
    const { reports } = await first.status();
    expect(reports.run.length).toBe(ticks(first).length);

    first.kill('SIGTERM');
    await second.waitForLine(LEADS);
    for (let tick = 0; tick < 3; tick++) await betweenTicks(second);

    const all = [...reports.run, ...(await second.status()).reports.run].map(({ tick }) => Date.parse(String(tick)));
    expect(all.length).toBeGreaterThanOrEqual(6);
    expect(all).toEqual(all.map((_, index) => all[0]! + index * TICK));
    expect([...ticks(first), ...ticks(second)]).toHaveLength(all.length);
  });
});
