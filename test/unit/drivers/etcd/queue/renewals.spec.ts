import { describe, expect, it } from 'vitest';
import type { KeepAlives } from '../../../../../lib/drivers/etcd/client/keep-alives.js';
import type { LeasePool } from '../../../../../lib/drivers/etcd/queue/lease-pool.js';
import { QueuedClaim } from '../../../../../lib/drivers/etcd/queue/queued-claim.js';
import type { Queues } from '../../../../../lib/drivers/etcd/queue/queues.js';
import { Renewals } from '../../../../../lib/drivers/etcd/queue/renewals.js';
import { StoreLease } from '../../../../../lib/drivers/etcd/queue/store-lease.js';
import { ManualClock } from '../../../../../lib/testing/manual-clock.js';

const claim = { key: 'test:l:k', holder: 'h', ttl: 2000, instance: 'a', metadata: {} };

// Whether a leader that was replaced answers is up to chance on real servers: faults/etcd-stale-leader.spec.ts.
describe('a renewal', () => {
  /** The keep-alive is answered in term 7, and the read after it in another one, or the same. */
  function renewal(termOfRead: number) {
    const clock = new ManualClock();
    const queued = new QueuedClaim(claim, new StoreLease(1, 2000, clock.now()), clock.now());
    clock.block(700);
    const keepAlives = { send: async () => ({ ttl: 2000, term: 7 }) } as Partial<KeepAlives> as KeepAlives;
    const queues = {
      waitersOf: async (claims: readonly QueuedClaim[]) => {
        for (const { lease } of claims) lease.prover()(termOfRead);
        return claims.map(() => 0);
      },
    } as Partial<Queues> as Queues;
    const renewals = new Renewals(queues, {} as LeasePool, keepAlives, clock, () => undefined);
    return { place: queued, outcome: renewals.renew([claim], () => queued) };
  }

  it('counts where the leader that answered the keep-alive still had a quorum', async () => {
    const { place: queued, outcome } = renewal(7);
    expect(await outcome).toEqual([{ waiters: 0 }]);
    expect(queued.lease.until).toBe(700 + 2000);
  });

  it('has an unknown outcome where the leader changed after the keep-alive', async () => {
    const { place: queued, outcome } = renewal(8);
    await expect(outcome).rejects.toMatchObject({ code: 'DRIVER_UNAVAILABLE', sent: true });
    expect(queued.lease.until).toBe(2000);
  });
});
