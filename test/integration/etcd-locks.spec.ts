import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Claim, type DriverEvent, DriverUnavailableError } from 'nestjs-dist-lock';
import { EtcdDriver } from 'nestjs-dist-lock/etcd';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { SystemClock } from '../../lib/core/clock.js';
import { EtcdConnection } from '../../lib/drivers/etcd/client/connection.js';
import type { TxnRequest } from '../../lib/drivers/etcd/client/messages.js';
import { Watches } from '../../lib/drivers/etcd/client/watches.js';
import { claimKey } from '../../lib/drivers/etcd/names.js';
import { readOptions } from '../../lib/drivers/etcd/options.js';
import { LeasePool } from '../../lib/drivers/etcd/queue/lease-pool.js';
import { Queues } from '../../lib/drivers/etcd/queue/queues.js';
import { request } from '../support/engine/engine.js';
import { intercept } from '../support/servers/etcd-requests.js';
import { useEtcd } from '../support/servers/use-etcd.js';

const NAME = 'test:l:k';
const forever = { ttl: 30_000, limit: { wait: Infinity } };

const etcd = useEtcd();
afterEach(() => {
  vi.restoreAllMocks();
});

function claimOf(instance: string, change: Partial<Claim> = {}): Claim {
  return { key: NAME, holder: randomUUID(), ttl: 30_000, instance, metadata: {}, ...change };
}

async function open(): Promise<{ driver: EtcdDriver; events: DriverEvent[] }> {
  const events: DriverEvent[] = [];
  const listener = (event: DriverEvent): void => void events.push(event);
  const driver = new EtcdDriver({ hosts: etcd.cluster.hosts });
  await driver.connect(listener);
  etcd.closing.push(() => driver.close(listener));
  return { driver, events };
}

async function queued({ driver }: { driver: EtcdDriver }, claim: Claim): Promise<void> {
  expect(await driver.acquire(claim, 'queue')).toMatchObject({ status: 'queued' });
}

function granted({ events }: { events: DriverEvent[] }, { holder }: Claim) {
  const find = () => events.find((event) => event.type === 'granted' && event.holder === holder);
  return vi.waitFor(() => {
    const event = find();
    if (event?.type !== 'granted') throw new Error('not granted yet');
    return event;
  }, 3000);
}

const clock = new SystemClock();

function otherConnection(): EtcdConnection {
  const [up, down, moved, warning] = [vi.fn(), vi.fn(), vi.fn(), vi.fn()];
  const listener = { up, down, moved, warning };
  const connection = new EtcdConnection(readOptions({ hosts: etcd.cluster.hosts }), listener, clock, Math.random);
  etcd.closing.push(() => connection.close());
  return connection;
}

/** The names of the requests that are sent while `task` runs. */
async function requests(task: () => Promise<unknown>): Promise<string[]> {
  const calls = vi.spyOn(EtcdConnection.prototype, 'call');
  await task();
  const names = calls.mock.calls.map(([name]) => name);
  calls.mockRestore();
  return names;
}

// Rule S7 of docs/internals/safety.md.
describe('locks in etcd', () => {
  it('cost one request, and one for the release, once a lease lies ready', async () => {
    const { manager } = etcd.engine('a');
    const turn = async (): Promise<void> => (await manager.acquire(request(forever))).release();
    await turn();
    expect(await requests(turn)).toEqual(['txn', 'txn']);
    expect(await etcd.stored(`${NAME}/`)).toEqual([]);
  });

  it('of many instances are taken in turns, and nobody is asked whose turn it is not', async () => {
    const engines = ['a', 'b', 'c', 'd'].map((id) => etcd.engine(id));
    const turns: string[] = [];
    let inside = 0;
    await Promise.all(
      engines.map(async ({ manager }) => {
        for (let turn = 0; turn < 10; turn++) {
          await using lock = await manager.acquire(request(forever));
          expect(++inside).toBe(1);
          turns.push(manager.instance);
          expect(lock.held).toBe(true);
          inside--;
        }
      }),
    );
    expect(turns).toHaveLength(40);
    const rounds = [2, 3, 4, 5, 6, 7, 8].map((round) => new Set(turns.slice(4 * round, 4 * round + 4)));
    expect(rounds.filter(({ size }) => size === 4).length).toBeGreaterThan(4);
    await vi.waitFor(async () => expect(await etcd.stored(`${NAME}/`)).toEqual([]));
  });

  it('wake the next waiter only', async () => {
    const [holder, first, second] = [await open(), await open(), await open()];
    const held = claimOf('holder');
    await holder.driver.acquire(held, 'try');
    const [one, two] = [claimOf('first'), claimOf('second')];
    await queued(first, one);
    await queued(second, two);
    const asked = await requests(async () => {
      await holder.driver.release(held);
      await granted(first, one);
    });
    // The release, a look by the one whose turn it is, and what makes it the holder.
    expect(asked).toEqual(['txn', 'txn', 'txn']);
    await first.driver.release(one);
    expect(await granted(second, two)).toMatchObject({ waiters: 0, tokens: 1 });
  });

  it('are passed to a named instance before those who have waited longer, with tokens that increase', async () => {
    const [holder, first, second, third] = [await open(), await open(), await open(), await open()];
    const held = claimOf('holder');
    const answer = await holder.driver.acquire(held, 'try');
    const [one, two, three] = [claimOf('first'), claimOf('second'), claimOf('third')];
    await queued(first, one);
    await queued(second, two);
    await queued(third, three);
    expect(await holder.driver.release(held, 'second')).toBe(true);
    // Repeated, as after a lost answer: it must not touch the successor, who has the same place.
    expect(await holder.driver.release(held, 'second')).toBe(false);
    const toSecond = await granted(second, two);
    expect(toSecond.waiters).toBe(2);
    expect(await second.driver.inspect(NAME)).toMatchObject({ holder: two.holder, instance: 'second' });
    expect(await second.driver.renew([two])).toEqual([{ waiters: 2 }]);
    expect(await second.driver.release(two, 'nobody')).toBe(true);
    const toFirst = await granted(first, one);
    expect(await first.driver.release(one)).toBe(true);
    const toThird = await granted(third, three);
    const tokens = [answer, toSecond, toFirst, toThird].map((grant) => 'fencingToken' in grant && grant.fencingToken);
    expect(tokens).toEqual(tokens.toSorted((a, b) => Number(a) - Number(b)));
    expect(new Set(tokens).size).toBe(4);
  });

  it('are passed to the living waiter of an instance that was started again, not to the one before', async () => {
    const [holder, restarted] = [await open(), await open()];
    const held = claimOf('holder');
    await holder.driver.acquire(held, 'try');
    // What a process that crashed leaves behind, as long as its lease lasts.
    const dead = { ...claimOf('restarted'), inbox: randomUUID() };
    const connection = otherConnection();
    await connection.call('leaseGrant', { ID: 1, TTL: 30 }, 1000);
    const left = { key: claimKey(NAME, dead.holder), value: JSON.stringify(dead), lease: 1 };
    await connection.call('txn', { success: [{ requestPut: left }] }, 1000);
    const alive = claimOf('restarted');
    await queued(restarted, alive);
    expect(await holder.driver.release(held, 'restarted')).toBe(true);
    expect(await granted(restarted, alive)).toMatchObject({ waiters: 1 });
    await connection.call('leaseRevoke', { ID: 1 }, 1000);
  });

  it('are taken by a waiter that was given one while it looked, and read the line as it was before', async () => {
    const [holder, waiter, newcomer] = [await open(), await open(), await open()];
    const held = claimOf('holder');
    await holder.driver.acquire(held, 'try');
    const claim = claimOf('waiter');
    await queued(waiter, claim);
    const hasRead = vi.fn();
    let mayAnswer = (): void => undefined;
    const gate = new Promise<void>((resolve) => (mayAnswer = resolve));
    const calls = intercept(waiter.driver, async (_, send) => {
      const answer = await send();
      hasRead();
      await gate;
      return answer;
    });
    const asked = waiter.driver.acquire(claim, 'queue');
    calls.mockRestore();
    await vi.waitFor(() => expect(hasRead).toHaveBeenCalled(), 3000);
    expect(await holder.driver.release(held, 'waiter')).toBe(true);
    await queued(newcomer, claimOf('newcomer'));
    // It has heard by now of all that happened before.
    await vi.waitFor(() => expect(waiter.events).toContainEqual({ type: 'contended', key: NAME }), 3000);
    mayAnswer();
    expect(await asked).toMatchObject({ status: 'queued' });
    expect(await granted(waiter, claim)).toMatchObject({ waiters: 1 });
  });

  it('are found by a waiter that was given one before it knew that it waits', async () => {
    const [holder, waiter, next] = [await open(), await open(), await open()];
    const held = claimOf('holder');
    await holder.driver.acquire(held, 'try');
    const claim = claimOf('waiter');
    const calls = intercept(waiter.driver, async ({ name }, send) => {
      const answer = await send();
      if (name !== 'txn') return answer;
      throw new DriverUnavailableError('No answer in time.', { sent: true });
    });
    await expect(waiter.driver.acquire(claim, 'queue')).rejects.toMatchObject({ sent: true });
    calls.mockRestore();
    expect(await holder.driver.release(held, 'waiter')).toBe(true);
    expect(await waiter.driver.acquire(claim, 'queue')).toMatchObject({ status: 'granted', waiters: 0 });
    expect(await etcd.stored(`${NAME}/`)).toHaveLength(1);
    const behind = claimOf('next');
    await queued(next, behind);
    expect(await waiter.driver.release(claim)).toBe(true);
    await granted(next, behind);
  });

  it('are lost when an operator deletes the key, however alive the lease is', async () => {
    const engine = etcd.engine('a');
    const lock = await engine.manager.acquire(request({ ttl: 1000 }));
    await etcd.cluster.empty();
    expect(await engine.event('lost')).toMatchObject({ reason: 'gone' });
    expect(lock.held).toBe(false);
  });

  it('are lost for a holder whose key was deleted, and left alone where another has them since', async () => {
    const [one, other] = [await open(), await open()];
    const [former, current] = [claimOf('one'), claimOf('other')];
    await one.driver.acquire(former, 'try');
    const key = claimKey(NAME, former.holder);
    await otherConnection().call('txn', { success: [{ requestDeleteRange: { key } }] }, 1000);
    expect(await other.driver.acquire(current, 'try')).toMatchObject({ status: 'granted' });
    expect(await one.driver.renew([former])).toEqual(['gone']);
    expect(await one.driver.release(former)).toBe(false);
    expect(await other.driver.renew([current])).toEqual([{ waiters: 0 }]);
  });

  it('stay with the successor when a release that named it is repeated, because its answer was lost', async () => {
    const [holder, successor] = [await open(), await open()];
    const [held, next] = [claimOf('holder'), claimOf('successor')];
    await holder.driver.acquire(held, 'try');
    await queued(successor, next);
    const calls = intercept(holder.driver, async ({ name }, send) => {
      const answer = await send();
      if (name !== 'txn') return answer;
      // The successor hears of it first.
      await granted(successor, next);
      throw new DriverUnavailableError('No answer in time.', { sent: true });
    });
    await expect(holder.driver.release(held, 'successor')).rejects.toMatchObject({ sent: true });
    calls.mockRestore();
    expect(await holder.driver.release(held, 'successor')).toBe(false);
    expect(await successor.driver.renew([next])).toEqual([{ waiters: 0 }]);
  });

  it('are granted for what is left of a lease that lay ready', async () => {
    const { driver } = await open();
    const first = claimOf('a');
    await driver.acquire(first, 'try');
    await driver.release(first);
    await sleep(300);
    const answer = await driver.acquire(claimOf('a'), 'try');
    expect(answer.status === 'granted' && answer.ttl).toBeLessThanOrEqual(first.ttl - 300);
  });

  it('are passed on within an instance with one request each, and tokens that increase', async () => {
    const { manager } = etcd.engine('a');
    await (await manager.acquire(request(forever))).release();
    const tokens: number[] = [];
    const callers = Array.from({ length: 20 }, async () => {
      await using lock = await manager.acquire(request(forever));
      tokens.push(lock.fencingToken);
    });
    const asked = await requests(() => Promise.all(callers));
    expect(tokens).toEqual(tokens.toSorted((a, b) => a - b));
    expect(new Set(tokens).size).toBe(20);
    expect(asked.length).toBeLessThanOrEqual(21 + 1);
  });

  it('leave no lease behind when a driver is closed', async () => {
    const driver = new EtcdDriver({ hosts: etcd.cluster.hosts });
    const listener = (): void => undefined;
    await driver.connect(listener);
    const leases = async (): Promise<number> =>
      (await etcd.cluster.members[0]!.post<{ leases?: unknown[] }>('lease/leases', {})).leases?.length ?? 0;
    const before = await leases();
    const claims = Array.from({ length: 5 }, (_, index) => claimOf('a', { key: `${NAME}${index}` }));
    for (const claim of claims) await driver.acquire(claim, 'try');
    for (const claim of claims) await driver.release(claim);
    expect(await leases()).toBeGreaterThan(before);
    await driver.close(listener);
    expect(await leases()).toBe(before);
  });
});

/** The lease of the last acquire that is late. */
let lateLease = 0;

/** Its answer is unknown, because the request is still on its way, until `arrive`. */
async function lateAcquire(): Promise<{ driver: EtcdDriver; claim: Claim; arrive: () => Promise<unknown> }> {
  const { driver } = await open();
  const claim = claimOf('a');
  const late: TxnRequest[] = [];
  const calls = intercept(driver, ({ name, message }, send) => {
    if (name !== 'txn') return send();
    late.push(message);
    return Promise.reject(new DriverUnavailableError('No answer in time.', { sent: true }));
  });
  await expect(driver.acquire(claim, 'try')).rejects.toMatchObject({ sent: true });
  calls.mockRestore();
  expect(late).toHaveLength(1);
  lateLease = late[0]!.success!.flatMap((op) => ('requestPut' in op ? [op.requestPut.lease!] : []))[0]!;
  return { driver, claim, arrive: () => otherConnection().call('txn', late[0]!, 1000) };
}

// Rule S6 of docs/internals/safety.md.
describe('an acquire that reaches the store late', () => {
  it('takes nothing once its claim was cancelled, because its lease is gone', async () => {
    const { driver, claim, arrive } = await lateAcquire();
    await driver.cancel(claim);
    await expect(arrive()).rejects.toThrow('requested lease not found');
    expect(await etcd.stored(`${NAME}/`)).toEqual([]);
    expect(await driver.acquire(claim, 'queue')).toEqual({ status: 'refused', record: null });
  });

  it.each<[string, (driver: EtcdDriver, claim: Claim) => Promise<unknown>]>([
    [
      'was granted by another request and released',
      async (driver, claim) => {
        expect(await driver.acquire(claim, 'try')).toMatchObject({ status: 'granted' });
        expect(await driver.release(claim)).toBe(true);
      },
    ],
    [
      'was refused by another request',
      async (driver, claim) => {
        const other = await open();
        const held = claimOf('b');
        expect(await other.driver.acquire(held, 'try')).toMatchObject({ status: 'granted' });
        expect(await driver.acquire(claim, 'try')).toMatchObject({ status: 'refused' });
        await other.driver.release(held);
      },
    ],
  ])('takes nothing for long once its claim %s: the lease is not used again', async (_, settle) => {
    const { driver, claim, arrive } = await lateAcquire();
    await settle(driver, claim);
    // Before or after the end of the lease, with which goes what is attached to it.
    await arrive().catch((error: Error) => expect(error.message).toContain('requested lease not found'));
    await vi.waitFor(async () => expect(await etcd.stored(`${NAME}/`)).toEqual([]), 5000);
  });

  it('control: takes the lock when nobody has cancelled it, and is found by the next request', async () => {
    const { driver, claim, arrive } = await lateAcquire();
    await arrive();
    expect(await etcd.stored(`${NAME}/`)).toHaveLength(1);
    expect(await driver.acquire(claim, 'try')).toMatchObject({ status: 'granted' });
    expect(await etcd.stored(`${NAME}/`)).toHaveLength(1);
  });
});

/**
 * A claim whose outcome is unknown ends in one of these ways. Its lease must not serve another claim, because the
 * request may still arrive and attach the former place to it, which would then be kept alive with the lease.
 */
describe('the lease of a claim with an unknown outcome is not used again once the claim', () => {
  const ends: { name: string; isHeldByOther?: boolean; end: (driver: EtcdDriver, claim: Claim) => Promise<unknown> }[] =
    [
      {
        name: 'was refused',
        isHeldByOther: true,
        end: async (driver, claim) => {
          expect(await driver.acquire(claim, 'try')).toMatchObject({ status: 'refused' });
        },
      },
      {
        name: 'was granted and released',
        end: async (driver, claim) => {
          expect(await driver.acquire(claim, 'try')).toMatchObject({ status: 'granted' });
          expect(await driver.release(claim)).toBe(true);
        },
      },
      {
        name: 'was granted and moved to a lease of another TTL',
        end: async (driver, claim) => {
          expect(await driver.acquire(claim, 'try')).toMatchObject({ status: 'granted' });
          expect(await driver.renew([{ ...claim, ttl: 60_000 }])).toEqual([{ waiters: 0 }]);
          expect(await driver.release({ ...claim, ttl: 60_000 })).toBe(true);
        },
      },
      { name: 'was cancelled', end: (driver, claim) => driver.cancel(claim) },
    ];

  async function arriveAfter({ isHeldByOther, end }: (typeof ends)[number]): Promise<{ key: string }[]> {
    const other = await open();
    const held = claimOf('other');
    if (isHeldByOther) await other.driver.acquire(held, 'try');
    const { driver, claim, arrive } = await lateAcquire();
    await end(driver, claim);
    if (isHeldByOther) await other.driver.release(held);
    // What is revoked in the background is gone once nothing is under way.
    await vi.waitFor(async () => {
      if (vi.isMockFunction(LeasePool.prototype.discard)) return;
      const answer = await otherConnection().call('leaseTimeToLive', { ID: lateLease }, 1000);
      expect(answer.TTL).toBe(-1);
    }, 3000);
    await arrive().catch(() => undefined);
    return etcd.stored(`${NAME}/`);
  }

  it.each(ends)('$name', async (how) => {
    expect(await arriveAfter(how)).toEqual([]);
  });

  it.each(ends.slice(0, 3))('control: $name, and the lease goes back to the others: the lock is taken', async (how) => {
    vi.spyOn(LeasePool.prototype, 'discard').mockImplementation(function (this: LeasePool, lease) {
      this.giveBack(lease.ttl, lease);
    });
    expect(await arriveAfter(how)).toHaveLength(1);
  });
});

describe('a place that could not be given back', () => {
  it.each([
    ['cancelled', 1500],
    ['released', 1500],
    ['cancelled', 2600],
  ] as const)('%s with a TTL of %i ms is forgotten when its lease has ended', async (how, ttl) => {
    const { driver } = await open();
    const claim = claimOf('a', { ttl });
    await driver.acquire(claim, 'try');
    const calls = intercept(driver, ({ name }, send) => {
      if (name !== 'leaseRevoke' && name !== 'txn') return send();
      return Promise.reject(new DriverUnavailableError('No answer in time.', { sent: true }));
    });
    const giveBack = (): Promise<unknown> => (how === 'released' ? driver.release(claim) : driver.cancel(claim));
    // As the core does it: for as long as the TTL of the claim.
    const until = performance.now() + ttl;
    let asked = 0;
    while (performance.now() < until) {
      if (how === 'cancelled') asked++;
      await giveBack().catch((error: unknown) => expect(error).toMatchObject({ message: 'No answer in time.' }));
      await sleep(100);
    }
    // The driver itself ends the lease once more, unasked, as it forgets the place.
    const revoked = (): number => calls.mock.calls.filter(([name]) => name === 'leaseRevoke').length;
    await vi.waitFor(() => expect(revoked()).toBeGreaterThan(asked), 3000);
  });
});

describe('nothing is left behind', () => {
  async function leases(): Promise<number> {
    const { leases: found = [] } = await etcd.cluster.members[0]!.post<{ leases?: unknown[] }>('lease/leases', {});
    return found.length;
  }

  it(
    'in etcd after hundreds of locks, given up waits and lost holders: no key, and the leases of the pool only',
    { timeout: 150_000 },
    async () => {
      const before = await leases();
      const [one, two] = [etcd.engine('one'), etcd.engine('two')];
      const short = { ttl: 1000, limit: { wait: Infinity } };
      const lockOf = (index: number) => request({ ...short, key: `k${index}`, storeKey: `test:l:k${index}` });
      await Promise.all(
        Array.from({ length: 100 }, async (_, index) => {
          const lock = await one.manager.acquire(lockOf(index));
          const given = two.manager.acquire({ ...lockOf(index), limit: { wait: 50 } }).catch(() => undefined);
          await given;
          await lock.release();
          await (await given)?.release();
        }),
      );
      // A holder and a waiter that died: nobody keeps their leases alive. A busy etcd is many seconds late to end them.
      const [dead, waiter] = [new EtcdDriver({ hosts: etcd.cluster.hosts }), await open()];
      const listener = (): void => undefined;
      await dead.connect(listener);
      etcd.closing.push(() => dead.close(listener));
      const died = claimOf('dead', { ttl: 1000, key: 'test:l:dead' });
      await dead.acquire(died, 'try');
      await waiter.driver.acquire(claimOf('waiter', { ttl: 1000, key: 'test:l:dead' }), 'queue');
      await vi.waitFor(async () => expect(await etcd.stored('test:l:')).toEqual([]), {
        timeout: 60_000,
        interval: 250,
      });
      // Per driver and TTL those that lie ready.
      expect(await leases()).toBeLessThanOrEqual(before + 2 * 64 + 2);
      await Promise.all([one, two].map(({ manager }) => manager.close(0)));
      await vi.waitFor(async () => expect(await leases()).toBeLessThanOrEqual(before + 2), {
        timeout: 60_000,
        interval: 250,
      });
    },
  );
});

describe('a watch', () => {
  it('that begins with a compacted revision says that changes were missed, and goes on', async () => {
    const connection = otherConnection();
    const watches = new Watches(connection, clock, Math.random);
    etcd.closing.push(() => watches.close());
    const put = (value: string) =>
      connection.call('txn', { success: [{ requestPut: { key: 'test:watched', value } }] }, 1000);
    const { header } = await put('1');
    const last = await put('2');
    await etcd.cluster.members[0]!.post('kv/compaction', { revision: String(last.header.revision) });
    const [changed, missed] = [vi.fn(), vi.fn()];
    watches.watch({ key: 'test:watched', startRevision: header.revision }, { changed, missed });
    await vi.waitFor(() => expect(missed).toHaveBeenCalledOnce(), 3000);
    expect(changed).not.toHaveBeenCalled();
    await put('3');
    await vi.waitFor(() => expect(changed).toHaveBeenCalledOnce(), 3000);
  });
});

describe('a renewal that is answered after the release of its lock', () => {
  it('leaves the lease alone, which serves another lock by then', async () => {
    const instance = await open();
    const [first, second] = [claimOf('a'), claimOf('a', { key: `${NAME}:second` })];
    await instance.driver.acquire(first, 'try');
    let letThrough!: () => void;
    const held = new Promise<void>((resolve) => (letThrough = resolve));
    const { waitersOf } = Queues.prototype;
    vi.spyOn(Queues.prototype, 'waitersOf').mockImplementationOnce(async function (this: Queues, ...args) {
      await held;
      return waitersOf.apply(this, args);
    });
    const renewing = instance.driver.renew([first]);
    expect(await instance.driver.release(first)).toBe(true);
    expect(await instance.driver.acquire(second, 'try')).toMatchObject({ status: 'granted' });
    letThrough();
    expect(await renewing).toEqual(['gone']);
    const revoked = await requests(() => instance.driver.inspect(second.key));
    expect(revoked).not.toContain('leaseRevoke');
    expect(await instance.driver.renew([second])).toEqual([{ waiters: 0 }]);
    expect(await instance.driver.inspect(second.key)).toMatchObject({ holder: second.holder });
  });
});
