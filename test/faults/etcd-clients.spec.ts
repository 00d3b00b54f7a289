import { afterAll, afterEach, describe, expect, it, vi } from 'vitest';
import { Queues } from '../../lib/drivers/etcd/queue/queues.js';
import { Election } from '../../lib/leader/election.js';
import { LeaderService } from '../../lib/leader/leader.service.js';
import { request } from '../support/engine/engine.js';
import type { RealEngine } from '../support/engine/real-engine.js';
import type { TcpProxy } from '../support/servers/tcp-proxy.js';
import { hostsOf, useEtcd } from '../support/servers/use-etcd.js';

const TTL = 2000;
const NAME = 'test:l:k';
const forever = { ttl: TTL, limit: { wait: Infinity } };

const etcd = useEtcd({ members: 3 });
const figures: string[] = [];
afterAll(() => console.log(figures.join('\n')));
afterEach(() => {
  vi.restoreAllMocks();
});

function place(instance: string) {
  return etcd.stored(`${NAME}/`).then((places) => {
    return places.find(({ value }) => (JSON.parse(value) as { instance: string }).instance === instance);
  });
}

// Rules S5 and S9 of docs/internals/safety.md.
describe('a holder that is cut off from all members', () => {
  const cuts: { name: string; cut: (proxy: TcpProxy) => void }[] = [
    { name: 'silently', cut: (proxy) => proxy.blackhole() },
    { name: 'with a reset, and refused from then on', cut: (proxy) => proxy.refuse() },
  ];

  async function cutOff(holder: RealEngine, waiter: RealEngine, cut: () => void) {
    const lock = await holder.manager.acquire(request(forever));
    const waiting = waiter.manager.acquire(request(forever));
    await waiter.event('contended');
    let lostAt = Infinity;
    lock.signal.addEventListener('abort', () => (lostAt = performance.now()));
    // Some renewals, so that the cut is nothing that the grant already covers.
    await holder.event('renewed');
    const at = performance.now();
    cut();
    await waiting;
    return { lock, lostAfter: lostAt - at, grantedAfter: performance.now() - at };
  }

  it.each(cuts)('$name: it knows before the next one is granted', async ({ name, cut }) => {
    const proxies = await etcd.proxies();
    const [holder, waiter] = [etcd.engine('holder', hostsOf(proxies)), etcd.engine('waiter')];
    const { lock, lostAfter, grantedAfter } = await cutOff(holder, waiter, () => proxies.forEach(cut));
    figures.push(
      `etcd, holder cut off ${name}, TTL ${TTL} ms: it knows after ${Math.round(lostAfter)} ms, ` +
        `the next one has the lock after ${Math.round(grantedAfter)} ms`,
    );
    expect(lock.held).toBe(false);
    expect(lostAfter).toBeLessThan(TTL + 250);
    expect(lostAfter).toBeLessThan(grantedAfter);
  });

  it('control: one that takes a renewal for answered believes together with its successor', async () => {
    const proxies = await etcd.proxies();
    const [holder, waiter] = [etcd.engine('holder', hostsOf(proxies)), etcd.engine('waiter')];
    const { lock, lostAfter } = await cutOff(holder, waiter, () => {
      for (const proxy of proxies) proxy.blackhole();
      vi.spyOn(holder.driver, 'renew').mockImplementation(async (leases) => leases.map(() => ({ waiters: 0 })));
    });
    expect(lock.held).toBe(true);
    expect(lostAfter).toBe(Infinity);
  });

  it('a leader stops leading before the next one leads', async () => {
    const proxies = await etcd.proxies();
    const [first, second] = [etcd.engine('first', hostsOf(proxies)), etcd.engine('second')].map((engine) => {
      const leader = new LeaderService(
        (changed, report) =>
          new Election(
            engine.manager,
            { id: engine.manager.instance, metadata: {} },
            {
              name: 'default',
              storeKey: 'test:e:default',
              membersScope: 'test:m:default',
              priority: 0,
              leaseDuration: 2000,
              renewDeadline: 1500,
              retryPeriod: 300,
              autoCampaign: true,
              releaseOnShutdown: true,
              grace: 1000,
            },
            { changed, report, problem: () => undefined },
          ),
      );
      etcd.closing.push(() => leader.stop());
      return leader;
    }) as [LeaderService, LeaderService];
    const leads = (leader: LeaderService, wanted: boolean): Promise<number> =>
      new Promise((resolve) => {
        leader.isLeader$.subscribe((isLeader) => isLeader === wanted && resolve(performance.now()));
      });
    first.start();
    await leads(first, true);
    second.start();
    await vi.waitFor(() => expect(second.state.leader?.id).toBe('first'), 5000);
    const at = performance.now();
    for (const proxy of proxies) proxy.blackhole();
    const stopped = leads(first, false);
    const led = await leads(second, true);
    figures.push(
      `etcd, leader cut off, lease 2 s, deadline 1.5 s: it stops after ${Math.round((await stopped) - at)} ms, ` +
        `the next one leads after ${Math.round(led - at)} ms`,
    );
    expect(await stopped).toBeLessThan(led);
    expect(first.isLeader()).toBe(false);
  });
});

describe('a waiter', () => {
  async function holdAndWait() {
    const [holder, waiter] = [etcd.engine('holder'), etcd.engine('waiter')];
    const lock = await holder.manager.acquire(request(forever));
    const waiting = waiter.manager.acquire(request(forever));
    await waiter.event('contended');
    await vi.waitFor(async () => expect(await place('waiter')).toBeDefined(), 5000);
    return { lock, waiting, waiter };
  }

  async function revoke(lease: string): Promise<void> {
    await (await etcd.cluster.leader()).post('lease/revoke', { ID: lease });
  }

  it('whose lease died is granted nothing before it is in the line again', async () => {
    const { lock, waiting } = await holdAndWait();
    await revoke((await place('waiter'))!.lease);
    await lock.release();
    const next = await waiting;
    expect(await place('waiter')).toBeDefined();
    expect(next.fencingToken).toBeGreaterThan(lock.fencingToken);
    expect(next.held).toBe(true);
  });

  it('control: one that trusts what its watch tells holds a lock that does not exist', async () => {
    const { lock, waiting } = await holdAndWait();
    const token = lock.fencingToken + 1;
    vi.spyOn(Queues.prototype, 'look').mockImplementation(async () => ({ status: 'held', token, waiters: 0 }));
    await revoke((await place('waiter'))!.lease);
    await lock.release();
    expect((await waiting).held).toBe(true);
    expect(await place('waiter')).toBeUndefined();
  });

  it('goes on after a compaction that it did not see, cut off while the lock was passed on', async () => {
    const proxies = await etcd.proxies();
    const [holder, waiter] = [etcd.engine('holder'), etcd.engine('waiter', hostsOf(proxies))];
    const long = { ttl: 15_000, limit: { wait: Infinity } };
    const lock = await holder.manager.acquire(request(long));
    const waiting = waiter.manager.acquire(request(long));
    await waiter.event('contended');
    await vi.waitFor(async () => expect(await place('waiter')).toBeDefined(), 5000);
    for (const proxy of proxies) proxy.refuse();
    await waiter.store('down');
    await lock.release();
    const leader = await etcd.cluster.leader();
    const { header } = (await leader.status())!;
    await leader.post('kv/compaction', { revision: header.revision, physical: true });
    const at = performance.now();
    await Promise.all(proxies.map((proxy) => proxy.accept()));
    expect((await waiting).held).toBe(true);
    expect(performance.now() - at).toBeLessThan(5000);
  });
});
