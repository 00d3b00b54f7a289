import { EtcdDriver } from 'nestjs-dist-lock/etcd';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { KeepAlives } from '../../lib/drivers/etcd/client/keep-alives.js';
import { StoreLease } from '../../lib/drivers/etcd/queue/store-lease.js';
import { useEtcd } from '../support/servers/use-etcd.js';

const claim = { key: 'test:l:k', holder: 'h', instance: 'i', ttl: 10_000, metadata: {} };

// Long enough for all that happens before the leader notices that it has no quorum.
const etcd = useEtcd({ members: 3, electionTimeout: 2000 });
afterEach(() => {
  vi.restoreAllMocks();
});

async function held(hosts: readonly string[]): Promise<EtcdDriver> {
  // The first of the hosts is the one that it begins with.
  vi.spyOn(Math, 'random').mockReturnValueOnce(0);
  const driver = new EtcdDriver({ hosts });
  const listener = (): void => undefined;
  await driver.connect(listener);
  etcd.closing.push(() => driver.close(listener));
  await driver.acquire(claim, 'try');
  expect(await driver.renew([claim])).toEqual([{ waiters: 0 }]);
  return driver;
}

// Rule S1 of docs/internals/safety.md.
it('an answer of a leader that has lost its quorum renews nothing', async () => {
  const leader = await etcd.cluster.leader();
  const driver = await held([leader.host]);
  const [place] = await etcd.stored('test:l:k/');

  for (const follower of await etcd.cluster.followers()) follower.pause();
  // Control: the leader does answer, and the new leader, which there may be by now, knows nothing of it.
  const { result } = await leader.post<{ result: { TTL: string } }>('lease/keepalive', { ID: place!.lease });
  expect(Number(result.TTL)).toBe(10);
  await expect(driver.renew([claim])).rejects.toThrow(/etcd/);
});

/**
 * The rule of store-lease.ts: a keep-alive counts only once a linearizable request, sent after its answer, was answered
 * in the same Raft term. Here a leader answers the keep-alive without a quorum, and the request that follows is answered
 * by its successor, in whose time the lease runs as if nothing had been said.
 */
describe('a renewal whose keep-alive a leader without a quorum has answered', () => {
  async function acrossLeaders(): Promise<EtcdDriver> {
    const [leader, followers] = [await etcd.cluster.leader(), await etcd.cluster.followers()];
    const driver = await held([leader.host, ...followers.map(({ host }) => host)]);
    const { send } = KeepAlives.prototype;
    vi.spyOn(KeepAlives.prototype, 'send').mockImplementationOnce(async function (this: KeepAlives, ...call) {
      for (const follower of followers) follower.pause();
      const answer = await send.apply(this, call);
      expect(answer.ttl).toBe(10_000);
      await leader.kill();
      for (const follower of followers) follower.resume();
      expect(await etcd.cluster.leader()).not.toBe(leader);
      return answer;
    });
    return driver;
  }

  it('fails, and a further one succeeds', async () => {
    const driver = await acrossLeaders();
    await expect(driver.renew([claim])).rejects.toThrow('The leader of etcd changed during a renewal.');
    await vi.waitFor(async () => expect(await driver.renew([claim])).toEqual([{ waiters: 0 }]), 8000);
  });

  it('control: counts for one that does not compare the terms', async () => {
    const driver = await acrossLeaders();
    const { keptAlive, prover } = StoreLease.prototype;
    let answered = 0;
    vi.spyOn(StoreLease.prototype, 'keptAlive').mockImplementation(function (this: StoreLease, anchor, answer) {
      answered = answer.term;
      return keptAlive.call(this, anchor, answer);
    });
    vi.spyOn(StoreLease.prototype, 'prover').mockImplementation(function (this: StoreLease) {
      const prove = prover.call(this);
      return () => prove(answered);
    });
    expect(await driver.renew([claim])).toEqual([{ waiters: 0 }]);
  });
});
