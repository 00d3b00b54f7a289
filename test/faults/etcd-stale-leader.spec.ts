import { EtcdDriver } from 'nestjs-dist-lock/etcd';
import { expect, it } from 'vitest';
import { useEtcd } from '../support/use-etcd.js';

const claim = { key: 'test:l:k', holder: 'h', instance: 'i', ttl: 10_000, metadata: {} };

// Long enough for all that happens before the leader notices that it has no quorum.
const etcd = useEtcd({ members: 3, electionTimeout: 2000 });

it('an answer of a leader that has lost its quorum renews nothing', async () => {
  const leader = await etcd.cluster.leader();
  const driver = new EtcdDriver({ hosts: [leader.host] });
  const listener = (): void => undefined;
  await driver.connect(listener);
  etcd.closing.push(() => driver.close(listener));
  await driver.acquire(claim, 'try');
  expect(await driver.renew([claim])).toEqual([{ waiters: 0 }]);
  const [place] = await etcd.stored('test:l:k/');

  for (const follower of await etcd.cluster.followers()) follower.pause();
  // Control: the leader does answer, and the new leader, which there may be by now, knows nothing of it.
  const { result } = await leader.post<{ result: { TTL: string } }>('lease/keepalive', { ID: place!.lease });
  expect(Number(result.TTL)).toBe(10);
  await expect(driver.renew([claim])).rejects.toThrow(/etcd/);
});
