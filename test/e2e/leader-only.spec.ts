import { expect, it } from 'vitest';
import { freePort } from '../support/servers/redis-server.js';
import { ReplicaProcess, startPair, startRedis } from './replica.js';

it('leader-only routes: 200 on the leader, 503 with the way to the leader elsewhere', async () => {
  const { leader, follower } = await startPair();
  const { term } = await leader.status();

  const served = await fetch(`${leader.url}/admin/term`);
  expect(served.status).toBe(200);
  expect(await served.json()).toEqual({ number: term });

  const refused = await fetch(`${follower.url}/admin/term`);
  expect(refused.status).toBe(503);
  expect(Number(refused.headers.get('Retry-After'))).toBeGreaterThan(0);
  // The leader registered no address, and its id is not for strangers.
  expect(refused.headers.get('X-Leader')).toBeNull();
  expect(await refused.json()).toMatchObject({ statusCode: 503, code: 'NOT_LEADER' });

  const resigned = await fetch(`${leader.url}/admin/resign`, { method: 'POST' });
  expect(resigned.status).toBe(202);
  const answered = performance.now();
  const { at } = await follower.waitForLine(/★ leads/);
  expect(at - answered).toBeLessThan(300);
  expect((await fetch(`${follower.url}/admin/term`)).status).toBe(200);
  expect((await fetch(`${leader.url}/admin/term`)).status).toBe(503);
  expect((await follower.status()).term).toBeGreaterThan(term!);
});

it("the leader's page: a follower sends the browser there, and it lists who takes part", async () => {
  const REDIS_URL = await startRedis();
  const start = async (): Promise<ReplicaProcess> =>
    ReplicaProcess.start({ REDIS_URL, PORT: String(await freePort()) });
  const leader = await start();
  await leader.waitForLine(/★ leads/);
  const follower = await start();
  await follower.waitForLine(/follows/);

  const redirected = await fetch(`${follower.url}/leader?of=the+day`, { redirect: 'manual' });
  expect(redirected.status).toBe(307);
  expect(redirected.headers.get('X-Leader')).toBe(leader.url);
  expect(redirected.headers.get('Location')).toBe(`${leader.url}/leader?of=the+day`);

  const page = await fetch(`${follower.url}/leader`);
  expect(page.url).toBe(`${leader.url}/leader`);
  expect(page.headers.get('Content-Type')).toContain('text/html');
  const html = await page.text();
  const { instance, term } = await leader.status();
  expect(html).toContain(`${instance} leads`);
  expect(html).toContain(`Term ${term}`);
  expect(html.match(/<tr class="\w+">/g)).toEqual(['<tr class="leader">', '<tr class="candidate">']);
});
