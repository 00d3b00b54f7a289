import { describe, expect, it } from 'vitest';
import { StoreLease } from '../../../../../lib/drivers/etcd/queue/store-lease.js';

// Rule S1 of docs/internals/safety.md.
describe('a keep-alive', () => {
  const lease = (): StoreLease => new StoreLease(1, 10_000, 0);

  it('counts from its sending, once a later request was answered in the same term', () => {
    const kept = lease();
    expect(kept.keptAlive(4000, { ttl: 10_000, term: 7 })).toBe(true);
    expect(kept.until).toBe(10_000);
    kept.prover()(7);
    expect(kept.until).toBe(14_000);
  });

  it('counts for nothing when the term has changed: a leader that was replaced may have answered it', () => {
    const kept = lease();
    kept.keptAlive(4000, { ttl: 10_000, term: 7 });
    kept.prover()(8);
    expect(kept.until).toBe(10_000);
  });

  it('is not proven by a request that was sent before its answer', () => {
    const kept = lease();
    const prove = kept.prover();
    kept.keptAlive(4000, { ttl: 10_000, term: 7 });
    prove(7);
    expect(kept.until).toBe(10_000);
  });

  it('of a lease that is gone says so', () => {
    expect(lease().keptAlive(4000, { ttl: 0, term: 7 })).toBe(false);
  });

  it('never makes a lease end earlier', () => {
    const kept = lease();
    kept.keptAlive(4000, { ttl: 10_000, term: 7 });
    const prove = kept.prover();
    kept.keptAlive(6000, { ttl: 10_000, term: 7 });
    kept.prover()(7);
    prove(7);
    expect(kept.until).toBe(16_000);
  });
});
