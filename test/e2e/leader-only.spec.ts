import { expect, it } from 'vitest';
import { startPair } from './replica.js';

it('leader-only routes: 200 on the leader, 503 with the way to the leader elsewhere', async () => {
  const { leader, follower } = await startPair();
  const { instance, term } = await leader.status();

  const served = await fetch(`${leader.url}/admin/term`);
  expect(served.status).toBe(200);
  expect(await served.json()).toEqual({ number: term });

  const refused = await fetch(`${follower.url}/admin/term`);
  expect(refused.status).toBe(503);
  expect(Number(refused.headers.get('Retry-After'))).toBeGreaterThan(0);
  expect(refused.headers.get('X-Leader')).toBe(instance);
  expect(await refused.json()).toMatchObject({ statusCode: 503 });

  const resigned = await fetch(`${leader.url}/admin/resign`, { method: 'POST' });
  expect(resigned.status).toBe(202);
  const answered = performance.now();
  const { at } = await follower.waitForLine(/★ leads/);
  expect(at - answered).toBeLessThan(300);
  expect((await fetch(`${follower.url}/admin/term`)).status).toBe(200);
  expect((await fetch(`${leader.url}/admin/term`)).status).toBe(503);
  expect((await follower.status()).term).toBeGreaterThan(term!);
});
