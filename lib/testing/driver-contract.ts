import assert from 'node:assert/strict';
import { DriverUnavailableError } from '../core/errors.js';
import { type Claim, type DriverEvent, type DriverListener, type Granted, heartbeat } from '../core/lock-driver.js';
import { believable } from '../locks/pushed-grant.js';
import { Bench, type DriverContractOptions, type Instance } from './bench.js';
import { factStoreCases } from './fact-store-contract.js';
import { until } from './until.js';

/** One promise of every driver, as a case for a test runner. */
export interface ContractCase {
  /** The promise, for people. */
  readonly name: string;
  /** Checks the promise. Rejects when the driver breaks it. */
  run(): Promise<void>;
}

async function grant({ driver }: Instance, claim: Claim): Promise<Granted> {
  const answer = await driver.acquire(claim, 'try');
  assert.equal(answer.status, 'granted', 'a free key is granted');
  return answer;
}

async function refuse({ driver }: Instance, claim: Claim, why: string): Promise<void> {
  assert.equal((await driver.acquire(claim, 'try')).status, 'refused', why);
}

async function queue({ driver }: Instance, claim: Claim): Promise<void> {
  assert.equal((await driver.acquire(claim, 'queue')).status, 'queued', 'a held key queues whoever waits');
}

const cases: Record<string, (bench: Bench) => Promise<void>> = {
  async 'grants a free key to one holder and refuses the others'(bench) {
    const [first, second] = [await bench.instance(), await bench.instance()];
    const claim = bench.claim(first, { metadata: { purpose: 'café "1" {x}\n\u2028' } });
    const { fencingToken, ttl } = await grant(first, claim);
    assert.equal(ttl, claim.ttl);

    const answer = await second.driver.acquire(bench.claim(second), 'try');
    assert.ok(answer.status === 'refused' && answer.record, 'a refusal tells who holds the key');
    const { remaining, waiters, since, ...record } = answer.record;
    assert.deepEqual(record, {
      holder: claim.holder,
      instance: first.id,
      fencingToken,
      metadata: claim.metadata,
    });
    assert.ok(remaining > 0 && remaining <= claim.ttl, `the remaining time is plausible, not ${remaining}`);
    assert.ok(waiters >= 0);
    assert.ok(Number.isSafeInteger(since), `${since} is when it began, in ms`);
  },

  async 'grants a key to exactly one of many that ask at once'(bench) {
    const instances = [await bench.instance(), await bench.instance(), await bench.instance()];
    const answers = await Promise.all(
      Array.from({ length: 30 }, (_, index) => {
        const instance = instances[index % instances.length]!;
        return instance.driver.acquire(bench.claim(instance), index % 2 ? 'queue' : 'try');
      }),
    );
    assert.equal(answers.filter(({ status }) => status === 'granted').length, 1);
  },

  async 'answers a repeated acquire with the same grant and re-arms the TTL'(bench) {
    const instance = await bench.instance();
    const claim = bench.claim(instance, { ttl: bench.longTtl / 2 });
    const first = await grant(instance, claim);
    const again = await grant(instance, { ...claim, ttl: bench.longTtl });
    assert.equal(again.fencingToken, first.fencingToken);
    const record = await instance.driver.inspect(claim.key);
    assert.ok(record!.remaining > bench.longTtl / 2, 'the TTL runs from its start again');
  },

  async 'tells since when a key is held, by one clock, however often the lease is renewed'(bench) {
    const [first, second] = [await bench.instance(), await bench.instance()];
    const sinceOf = async (claim: Claim): Promise<number> => {
      const record = await second.driver.inspect(claim.key);
      assert.equal(record?.holder, claim.holder);
      return record.since;
    };
    const one = bench.claim(first);
    await grant(first, one);
    const since = await sinceOf(one);
    const year = 365 * 86_400_000;
    assert.ok(Math.abs(since - bench.clock.wall()) < year, `${since} are milliseconds since 1970`);
    await bench.pause(50);
    await grant(first, one);
    await first.driver.renew([one]);
    assert.equal(await sinceOf(one), since, 'a lease begins once');
    const next = bench.claim(second);
    if (second.driver.capabilities.queue) await queue(second, next);
    await first.driver.release(one);
    if (second.driver.capabilities.queue) await second.granted(next);
    else await grant(second, next);
    const later = await sinceOf(next);
    assert.ok(later >= since + 30, `the next lease begins later: ${since}, then ${later}`);
  },

  async 'releases for the holder only, and once'(bench) {
    const [first, second] = [await bench.instance(), await bench.instance()];
    const claim = bench.claim(first);
    await grant(first, claim);
    assert.equal(await second.driver.release(bench.claim(second)), false, 'a stranger releases nothing');
    await refuse(second, bench.claim(second), 'the key is still held');
    assert.equal(await first.driver.release(claim), true);
    const successor = bench.claim(second);
    await grant(second, successor);
    assert.equal(await first.driver.release(claim), false, 'a retried release finds nothing');
    await first.driver.cancel(claim);
    assert.deepEqual(await second.driver.renew([successor]), [{ waiters: 0 }], 'and never touches the successor');
  },

  async 'gives every grant of a key a larger fencing token'(bench) {
    const [first, second] = [await bench.instance(), await bench.instance()];
    // Where leases take seconds to end, it is enough to wait for one of them.
    const isSlow = bench.shortTtl(first) >= 1000;
    let last = 0;
    for (let round = 0; round < 20; round++) {
      const instance = round % 2 ? first : second;
      const claim = bench.claim(instance, { ttl: bench.shortTtl(instance) });
      await until(async () => (await instance.driver.inspect(claim.key)) === null, 10_000, 'the key is free');
      const { fencingToken } = await grant(instance, claim);
      assert.ok(Number.isSafeInteger(fencingToken), `${fencingToken} is a safe integer`);
      assert.ok(fencingToken > last, `${fencingToken} is above ${last}`);
      last = fencingToken;
      if (round % 4 === 1) await instance.driver.cancel(claim);
      else if (round % 4 !== 3 || (isSlow && round > 3)) await instance.driver.release(claim);
    }
  },

  async 'ends a lease that is not renewed'(bench) {
    const instance = await bench.instance();
    const claim = bench.claim(instance, { ttl: bench.shortTtl(instance) });
    const sentAt = bench.clock.now();
    await grant(instance, claim);
    await until(
      async () => (await instance.driver.inspect(claim.key)) === null,
      claim.ttl * 4 + 5000,
      'the lease ends',
    );
    const lasted = bench.clock.now() - sentAt;
    assert.ok(lasted >= claim.ttl - 5, `it lasted its TTL of ${claim.ttl} ms, not ${Math.round(lasted)} ms`);
    assert.deepEqual(await instance.driver.renew([claim]), ['gone']);
    await grant(instance, bench.claim(instance));
  },

  async 'renews many leases, each with its own outcome, in order'(bench) {
    const instance = await bench.instance();
    const ttl = 4 * bench.shortTtl(instance);
    const claims = Array.from({ length: 5 }, (_, index) =>
      bench.claim(instance, { key: `${bench.key}:${index}`, ttl }),
    );
    for (const claim of claims) await grant(instance, claim);
    await instance.driver.release(claims[1]!);
    await instance.driver.release(claims[3]!);
    await grant(instance, bench.claim(instance, { key: claims[3]!.key }));
    const leases = claims.map((claim) => ({ ...claim, ttl: bench.longTtl }));
    const held = { waiters: 0 };
    assert.deepEqual(await instance.driver.renew(leases), [held, 'gone', held, 'gone', held]);
    for (const index of [0, 2, 4]) {
      const record = await instance.driver.inspect(claims[index]!.key);
      assert.ok(record!.remaining > ttl, 'a renewal arms the whole TTL');
    }
    assert.deepEqual(await instance.driver.renew([]), []);
  },

  async 'arms a lease for the TTL that a renewal names, also for a shorter one'(bench) {
    const [instance, other] = [await bench.instance(), await bench.instance()];
    const claim = bench.claim(instance);
    await grant(instance, claim);
    const ttl = bench.shortTtl(instance);
    const sentAt = bench.clock.now();
    assert.deepEqual(await instance.driver.renew([{ ...claim, ttl }]), [{ waiters: 0 }]);
    await until(
      async () => (await other.driver.inspect(claim.key)) === null,
      ttl * 4 + 5000,
      'the lease ends by its last renewal',
    );
    const lasted = bench.clock.now() - sentAt;
    assert.ok(lasted >= ttl - 5, `it lasted the TTL of ${ttl} ms, not ${Math.round(lasted)} ms`);
    const successor = bench.claim(other);
    await grant(other, successor);
    await instance.driver.release(claim);
    assert.deepEqual(await other.driver.renew([successor]), [{ waiters: 0 }], 'a late release touches no successor');
  },

  async 'cancels: gives back a grant, and refuses an acquire that arrives later'(bench) {
    const instance = await bench.instance();
    const granted = bench.claim(instance);
    await grant(instance, granted);
    await instance.driver.cancel(granted);
    assert.equal(await instance.driver.inspect(granted.key), null, 'the grant was given back');
    await refuse(instance, granted, 'the holder is not granted again');

    const late = bench.claim(instance);
    await instance.driver.cancel(late);
    await instance.driver.cancel(late);
    assert.notEqual((await instance.driver.acquire(late, 'queue')).status, 'granted', 'nor one that was never granted');
    assert.equal(await instance.driver.inspect(late.key), null);
    await grant(instance, bench.claim(instance));
  },

  async 'does not queue a cancelled holder that arrives later'(bench) {
    const instance = await bench.instance();
    const holder = bench.claim(instance);
    await grant(instance, holder);
    const late = bench.claim(instance);
    await instance.driver.cancel(late);
    assert.equal((await instance.driver.acquire(late, 'queue')).status, 'refused');
    assert.equal((await instance.driver.inspect(holder.key))!.waiters, 0);
    await instance.driver.release(holder);
    assert.equal(await instance.driver.inspect(holder.key), null, 'nothing was handed to it');
  },

  async 'keeps keys apart, whatever their characters'(bench) {
    const instance = await bench.instance();
    const suffixes = [
      '',
      ':',
      '}',
      '{',
      '}:t',
      '}:w',
      '{a}',
      ' ',
      '\n',
      '*',
      '%',
      'é',
      'e\u0301',
      '🔒',
      'x'.repeat(500),
    ];
    for (const suffix of suffixes) await grant(instance, bench.claim(instance, { key: bench.key + suffix }));
    for (const suffix of suffixes) {
      await refuse(
        instance,
        bench.claim(instance, { key: bench.key + suffix }),
        `key + ${JSON.stringify(suffix)} is held`,
      );
    }
  },

  async 'tells a waiting instance that the key was freed'(bench) {
    const [holder, waiter] = [await bench.instance(), await bench.instance()];
    if (!holder.driver.capabilities.push) return;
    const claim = bench.claim(holder);
    await grant(holder, claim);
    await waiter.driver.acquire(bench.claim(waiter), 'queue');
    await holder.driver.release(claim);
    await until(
      () => waiter.heard('freed', claim.key) || waiter.heard('granted', claim.key),
      2000,
      'the waiter is told',
    );
  },

  async 'queues waiters, each at its place, and tells the holder'(bench) {
    const [holder, first, second] = [await bench.instance(), await bench.instance(), await bench.instance()];
    if (!holder.driver.capabilities.queue) return;
    const held = bench.claim(holder);
    const { fencingToken } = await grant(holder, held);
    const claims = [bench.claim(first), bench.claim(second)] as const;
    await queue(first, claims[0]);
    await queue(second, claims[1]);
    await queue(first, claims[0]);
    await until(() => holder.heard('contended', held.key), 2000, 'the holder is told');
    assert.deepEqual(await holder.driver.renew([held]), [{ waiters: 2 }]);

    await holder.driver.release(held);
    const granted = await first.granted(claims[0]);
    assert.ok(granted.fencingToken > fencingToken);
    assert.equal(granted.waiters, 1);
    await first.driver.release(claims[0]);
    assert.ok((await second.granted(claims[1])).fencingToken > granted.fencingToken);
  },

  async 'passes a lease on once, however often the release is repeated'(bench) {
    const [holder, first, second] = [await bench.instance(), await bench.instance(), await bench.instance()];
    if (!holder.driver.capabilities.queue) return;
    const held = bench.claim(holder);
    await grant(holder, held);
    const claim = bench.claim(first);
    const next = bench.claim(second);
    await queue(first, claim);
    await queue(second, next);
    assert.equal(await holder.driver.release(held), true);
    assert.equal(await holder.driver.release(held), false);
    await holder.driver.cancel(held);
    await first.granted(claim);
    assert.deepEqual(await first.driver.renew([claim]), [{ waiters: 1 }]);
    assert.equal(second.grantOf(next), undefined);
  },

  async 'arms a lease that it passes on for as long as it says'(bench) {
    const [holder, waiter] = [await bench.instance(), await bench.instance()];
    if (!holder.driver.capabilities.queue) return;
    const held = bench.claim(holder);
    await grant(holder, held);
    const claim = bench.claim(waiter);
    const askedAt = bench.clock.now();
    await queue(waiter, claim);
    await holder.driver.release(held);
    const { ttl } = await waiter.granted(claim);
    const record = await holder.driver.inspect(claim.key);
    const passed = bench.clock.now() - askedAt;
    assert.equal(record?.holder, claim.holder);
    // A driver may count in seconds.
    assert.ok(record.remaining > ttl - passed - 1000, `${record.remaining} ms are left of ${ttl} ms`);
    assert.ok(record.remaining <= ttl + 1000, `it is armed for ${record.remaining} ms, not for ${ttl} ms`);
  },

  async 'answers a waiter that was passed the lease, and asks again, with that grant'(bench) {
    const [holder, waiter] = [await bench.instance(), await bench.instance()];
    if (!holder.driver.capabilities.queue) return;
    const held = bench.claim(holder);
    await grant(holder, held);
    const claim = bench.claim(waiter);
    await queue(waiter, claim);
    await holder.driver.release(held);
    const { fencingToken } = await waiter.granted(claim);
    const answer = await grant(waiter, claim);
    assert.deepEqual([answer.fencingToken, answer.ttl], [fencingToken, claim.ttl]);
  },

  async 'tells of a lease that it passed on as the core can believe it, and as the store has it'(bench) {
    const [holder, waiter] = [await bench.instance(), await bench.instance()];
    if (!holder.driver.capabilities.queue) return;
    const held = bench.claim(holder);
    const { fencingToken, tokens } = await grant(holder, held);
    const claim = bench.claim(waiter);
    await queue(waiter, claim);
    await holder.driver.release(held);
    const granted = await waiter.granted(claim);
    assert.ok(believable(granted, claim, fencingToken + tokens - 1), `${JSON.stringify(granted)} can be true`);
    const record = await holder.driver.inspect(claim.key);
    assert.deepEqual([record?.holder, record?.fencingToken], [claim.holder, granted.fencingToken]);
  },

  async 'never passes a lease to a waiter that was cancelled'(bench) {
    const [holder, first, second] = [await bench.instance(), await bench.instance(), await bench.instance()];
    if (!holder.driver.capabilities.queue) return;
    const held = bench.claim(holder);
    await grant(holder, held);
    const claims = [bench.claim(first), bench.claim(second)] as const;
    await queue(first, claims[0]);
    await queue(second, claims[1]);
    await first.driver.cancel(claims[0]);
    assert.deepEqual(await holder.driver.renew([held]), [{ waiters: 1 }]);
    await holder.driver.release(held);
    await second.granted(claims[1]);
    await second.driver.cancel(claims[1]);
    assert.equal(await holder.driver.inspect(held.key), null, 'a cancel gives back what was passed on');
  },

  async 'passes a lease that a cancel gives back to the next waiter'(bench) {
    const [holder, first, second] = [await bench.instance(), await bench.instance(), await bench.instance()];
    if (!holder.driver.capabilities.queue) return;
    const held = bench.claim(holder);
    await grant(holder, held);
    const claims = [bench.claim(first), bench.claim(second)] as const;
    await queue(first, claims[0]);
    await queue(second, claims[1]);
    await holder.driver.release(held);
    const { fencingToken } = await first.granted(claims[0]);
    await first.driver.cancel(claims[0]);
    assert.ok((await second.granted(claims[1])).fencingToken > fencingToken);
  },

  async 'skips a waiter that has not been heard of for three heartbeats'(bench) {
    const [holder, dead, alive] = [await bench.instance(), await bench.instance(), await bench.instance()];
    if (!holder.driver.capabilities.queue) return;
    const ttl = Math.max(bench.shortTtl(holder), 600);
    const held = bench.claim(holder);
    await grant(holder, held);
    const lost = bench.claim(dead, { ttl });
    await queue(dead, lost);
    const claim = bench.claim(alive, { ttl });
    const end = bench.clock.now() + 4 * heartbeat(ttl);
    while (bench.clock.now() < end) {
      await queue(alive, claim);
      await bench.pause(heartbeat(ttl) / 2);
    }
    await holder.driver.release(held);
    await alive.granted(claim);
    assert.equal(dead.grantOf(lost), undefined);
  },

  async 'hands the lease to a waiter that keeps its place by heartbeats alone, and skips one that stopped'(bench) {
    const [holder, dead, alive] = [await bench.instance(), await bench.instance(), await bench.instance()];
    if (!alive.driver.keepPlaces) return;
    const ttl = Math.max(bench.shortTtl(holder), 1800);
    const held = bench.claim(holder);
    const { fencingToken } = await grant(holder, held);
    const [lost, claim] = [bench.claim(dead, { ttl }), bench.claim(alive, { ttl })];
    await queue(dead, lost);
    await queue(alive, claim);
    const end = bench.clock.now() + 5 * heartbeat(ttl);
    while (bench.clock.now() < end) {
      const [outcome] = await alive.driver.keepPlaces([{ ...claim, behind: fencingToken }]);
      assert.ok(outcome !== 'ask', 'it is still queued');
      await bench.pause(heartbeat(ttl) / 2);
    }
    await holder.driver.release(held);
    assert.ok((await alive.granted(claim)).fencingToken > fencingToken);
    assert.equal(dead.grantOf(lost), undefined);
  },

  async 'tells waiters, in order, how long the lease in front lasts and who has it, or that they have to ask'(bench) {
    const [holder, waiter] = [await bench.instance(), await bench.instance()];
    if (!waiter.driver.keepPlaces) return;
    const ttl = bench.longTtl / 2;
    const keys = ['known', 'new', 'absent', 'free'].map((suffix) => `${bench.key}:${suffix}`);
    const held = keys.slice(0, 3).map((key) => bench.claim(holder, { key, ttl, metadata: { key } }));
    const tokens: number[] = [];
    for (const claim of held) tokens.push((await grant(holder, claim)).fencingToken);
    // The last one does not wait where others do.
    const claims = [...keys, keys[0]!].map((key) => bench.claim(waiter, { key }));
    for (const claim of claims.slice(0, 2)) await queue(waiter, claim);
    const places = claims.map(({ key, holder: id, ttl: own }, index) => ({
      key,
      holder: id,
      ttl: own,
      behind: index === 0 ? tokens[0]! : 0,
    }));
    const [known, another, ...rest] = await waiter.driver.keepPlaces(places);
    assert.deepEqual(rest, ['ask', 'ask', 'ask'], 'one that is not queued has to ask, whether the key is held or free');
    assert.ok(known && known !== 'ask' && another && another !== 'ask', 'those in the queue keep their places');
    for (const { remaining } of [known, another]) {
      assert.ok(remaining > ttl / 2 && remaining <= ttl, `the remaining time is plausible, not ${remaining}`);
    }
    const { holder: front, instance, metadata, fencingToken } = another.record!;
    assert.deepEqual(
      { front, instance, metadata, fencingToken },
      { front: held[1]!.holder, instance: holder.id, metadata: { key: keys[1] }, fencingToken: tokens[1] },
    );
    assert.deepEqual(await waiter.driver.keepPlaces([]), []);
  },

  async 'tells a waiter to ask that was granted the lease, and re-arms nothing'(bench) {
    const [holder, waiter] = [await bench.instance(), await bench.instance()];
    if (!waiter.driver.keepPlaces) return;
    const held = bench.claim(holder);
    const { fencingToken } = await grant(holder, held);
    const claim = bench.claim(waiter);
    await queue(waiter, claim);
    await holder.driver.release(held);
    const granted = await waiter.granted(claim);
    assert.deepEqual(await waiter.driver.keepPlaces([{ ...claim, behind: fencingToken }]), ['ask']);
    const { remaining } = (await waiter.driver.inspect(claim.key))!;
    assert.ok(remaining <= granted.ttl, `it lasts for what it was armed, not for ${remaining} ms`);
    await waiter.driver.release(claim);
    assert.deepEqual(await waiter.driver.keepPlaces([{ ...claim, behind: fencingToken }]), ['ask']);
    assert.equal(await waiter.driver.inspect(claim.key), null, 'nor is it granted again');
  },

  async 'does not revive a cancelled waiter by a late heartbeat'(bench) {
    const [holder, waiter] = [await bench.instance(), await bench.instance()];
    if (!waiter.driver.keepPlaces) return;
    const held = bench.claim(holder);
    const { fencingToken } = await grant(holder, held);
    const claim = bench.claim(waiter);
    await queue(waiter, claim);
    await waiter.driver.cancel(claim);
    assert.deepEqual(await waiter.driver.keepPlaces([{ ...claim, behind: fencingToken }]), ['ask']);
    assert.deepEqual(await holder.driver.renew([held]), [{ waiters: 0 }]);
    await holder.driver.release(held);
    assert.equal(await holder.driver.inspect(held.key), null, 'nothing was handed to it');
  },

  async 'passes a lease to the waiting instance that a release names, and then in order again'(bench) {
    const [holder, first, second] = [await bench.instance(), await bench.instance(), await bench.instance()];
    const third = await bench.instance();
    if (!holder.driver.capabilities.queue) return;
    const held = bench.claim(holder);
    await grant(holder, held);
    const claims = [bench.claim(first), bench.claim(second), bench.claim(third), bench.claim(second)] as const;
    await queue(first, claims[0]);
    await queue(second, claims[1]);
    await queue(third, claims[2]);
    await queue(second, claims[3]);
    assert.equal(await holder.driver.release(held, second.id), true);
    assert.equal((await second.granted(claims[1])).waiters, 3);
    assert.equal(await holder.driver.release(held, third.id), false);
    assert.deepEqual(await second.driver.renew([claims[1]]), [{ waiters: 3 }], 'a repeated release touches nobody');
    await second.driver.release(claims[1]);
    await first.granted(claims[0]);
    await first.driver.release(claims[0]);
    await third.granted(claims[2]);
    await third.driver.release(claims[2]);
    assert.equal((await second.granted(claims[3])).waiters, 0);
  },

  async 'passes a lease in order when the instance that a release names does not wait'(bench) {
    const [holder, first, second] = [await bench.instance(), await bench.instance(), await bench.instance()];
    const held = bench.claim(holder);
    await grant(holder, held);
    if (holder.driver.capabilities.queue) {
      const claims = [bench.claim(first), bench.claim(second)] as const;
      await queue(first, claims[0]);
      await queue(second, claims[1]);
      assert.equal(await holder.driver.release(held, 'nobody'), true);
      await first.granted(claims[0]);
      assert.equal(await first.driver.release(claims[0], first.id), true);
      await second.granted(claims[1]);
      assert.equal(await second.driver.release(claims[1], holder.id), true);
    } else {
      assert.equal(await holder.driver.release(held, first.id), true);
    }
    assert.equal(await holder.driver.inspect(held.key), null, 'without a waiter the key is free');
  },

  async 'passes a lease in order when the instance that a release names is no longer heard of'(bench) {
    const [holder, alive, dead] = [await bench.instance(), await bench.instance(), await bench.instance()];
    if (!holder.driver.capabilities.queue) return;
    const ttl = Math.max(bench.shortTtl(holder), 600);
    const held = bench.claim(holder);
    await grant(holder, held);
    const [claim, next, lost] = [bench.claim(alive), bench.claim(alive), bench.claim(dead, { ttl })];
    await queue(alive, claim);
    await queue(dead, lost);
    await queue(alive, next);
    await bench.pause(4 * heartbeat(ttl));
    for (const waiting of [claim, next]) await queue(alive, waiting);
    await holder.driver.release(held, dead.id);
    await alive.granted(claim);
    await alive.driver.release(claim);
    await alive.granted(next);
    assert.equal(dead.grantOf(lost), undefined);
  },

  async 'passes a lease to a living waiter of the instance that a release names, not to an earlier dead one'(bench) {
    const [holder, other, restarted] = [await bench.instance(), await bench.instance(), await bench.instance()];
    if (!holder.driver.capabilities.queue) return;
    const ttl = Math.max(bench.shortTtl(holder), 600);
    const held = bench.claim(holder);
    await grant(holder, held);
    const [next, lost, claim] = [bench.claim(other), bench.claim(restarted, { ttl }), bench.claim(restarted)];
    await queue(other, next);
    await queue(restarted, lost);
    await queue(restarted, claim);
    await bench.pause(4 * heartbeat(ttl));
    for (const [instance, waiting] of [
      [other, next],
      [restarted, claim],
    ] as const)
      await queue(instance, waiting);
    await holder.driver.release(held, restarted.id);
    await restarted.granted(claim);
    await restarted.driver.release(claim);
    await other.granted(next);
    assert.equal(restarted.grantOf(lost), undefined);
  },

  async 'gives a lease that ran out to those who wait, before a newcomer'(bench) {
    const [holder, waiter, newcomer] = [await bench.instance(), await bench.instance(), await bench.instance()];
    if (!holder.driver.capabilities.queue) return;
    const held = bench.claim(holder, { ttl: bench.shortTtl(holder) });
    await grant(holder, held);
    const claim = bench.claim(waiter);
    await queue(waiter, claim);
    const holderOf = async (): Promise<string | undefined> => (await holder.driver.inspect(held.key))?.holder;
    await until(async () => (await holderOf()) !== held.holder, 10_000, 'the lease ends');
    await refuse(newcomer, bench.claim(newcomer), 'others came first');
    await waiter.granted(claim);
  },

  async 'reserves tokens for a holder, below those of every later grant'(bench) {
    const [holder, successor] = [await bench.instance(), await bench.instance()];
    const held = bench.claim(holder);
    const { fencingToken, tokens } = await grant(holder, held);
    let last = fencingToken + tokens - 1;
    if (holder.driver.reserve) {
      const block = await holder.driver.reserve(held);
      assert.ok(block && block.fencingToken > last, 'the block comes after the one before');
      last = block.fencingToken + block.tokens - 1;
      const blocks = await Promise.all(Array.from({ length: 100 }, () => holder.driver.reserve!(held)));
      for (const next of blocks.sort((a, b) => a!.fencingToken - b!.fencingToken)) {
        assert.ok(next && next.fencingToken > last, 'blocks never overlap, however fast they are asked for');
        last = next.fencingToken + next.tokens - 1;
      }
      assert.equal(await holder.driver.reserve(bench.claim(holder)), null, 'nobody else can reserve');
    }
    await holder.driver.release(held);
    assert.ok((await grant(successor, bench.claim(successor))).fencingToken > last);
  },

  async 'serves several listeners, and goes on for one when another is gone'(bench) {
    const instance = await bench.instance();
    const other: DriverEvent[] = [];
    const listener: DriverListener = (event) => void other.push(event);
    await instance.driver.connect(listener);
    await instance.driver.close(listener);
    const heard = other.length;
    const claim = bench.claim(instance);
    await grant(instance, claim);
    await instance.driver.acquire(bench.claim(instance), 'queue');
    await instance.driver.release(claim);
    assert.equal(other.length, heard, 'the closed listener hears nothing more');
  },

  async 'says that nothing was sent once it is closed'(bench) {
    const instance = await bench.instance();
    await instance.driver.close(instance.listener);
    await assert.rejects(instance.driver.acquire(bench.claim(instance), 'try'), (error) => {
      assert.ok(error instanceof DriverUnavailableError, `a DriverUnavailableError, not ${String(error)}`);
      assert.equal(error.sent, false);
      return true;
    });
  },
};

/**
 * The promises of every driver, as cases for any test runner:
 *
 *     for (const { name, run } of driverContract({ create: () => new MyDriver() })) test(name, run);
 */
export function driverContract(options: DriverContractOptions): ContractCase[] {
  return Object.entries({ ...cases, ...factStoreCases }).map(([name, check]) => ({
    name,
    async run() {
      const bench = new Bench(options);
      try {
        await check(bench);
      } finally {
        await bench.close();
      }
    },
  }));
}
