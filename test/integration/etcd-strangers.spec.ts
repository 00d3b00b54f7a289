import { randomUUID } from 'node:crypto';
import type { Claim, DriverEvent } from 'nestjs-dist-lock';
import { EtcdDriver } from 'nestjs-dist-lock/etcd';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { claimKey, factKey, numberKey } from '../../lib/drivers/etcd/names.js';
import { Strangers } from '../../lib/drivers/etcd/queue/strangers.js';
import { request } from '../support/engine/engine.js';
import { intercept } from '../support/servers/etcd-requests.js';
import { useEtcd } from '../support/servers/use-etcd.js';

const NAME = 'test:l:k';
const LEASE = 4711;

const etcd = useEtcd();
afterEach(() => {
  vi.restoreAllMocks();
});

async function post(path: string, body: object): Promise<unknown> {
  return etcd.cluster.members[0]!.post(path, body);
}

const base64 = (text: string): string => Buffer.from(text).toString('base64');
const write = (key: string, value: string, lease = 0): Promise<unknown> =>
  post('kv/put', { key: base64(key), value: base64(value), lease: String(lease) });

async function grantLease(): Promise<void> {
  await post('lease/grant', { ID: String(LEASE), TTL: '60' });
  etcd.closing.push(() => post('lease/revoke', { ID: String(LEASE) }).catch(() => undefined));
}

async function open(): Promise<{ driver: EtcdDriver; warnings: string[]; events: DriverEvent[] }> {
  const warnings: string[] = [];
  const events: DriverEvent[] = [];
  const driver = new EtcdDriver({ hosts: etcd.cluster.hosts });
  const listener = (event: DriverEvent): void => {
    events.push(event);
    if (event.type === 'warning') warnings.push(event.message);
  };
  await driver.connect(listener);
  etcd.closing.push(() => driver.close(listener));
  return { driver, warnings, events };
}

const claimOf = (instance: string): Claim => ({
  key: NAME,
  holder: randomUUID(),
  ttl: 30_000,
  instance,
  metadata: {},
});

const record = { holder: 'x', instance: 'x', metadata: {}, ttl: 30_000, inbox: 'x' };

/** What somebody else may have written where a claim is expected. */
const records: [name: string, value: string][] = [
  ['a claim as it should be', JSON.stringify(record)],
  ['nothing', ''],
  ['text', 'do not touch'],
  ['half of a record', JSON.stringify(record).slice(0, 30)],
  ['a list', '[]'],
  ['null', 'null'],
  ['a number', '5'],
  ['a holder that is a number', JSON.stringify({ ...record, holder: 5 })],
  ['no instance', JSON.stringify({ ...record, instance: undefined })],
  ['no inbox', JSON.stringify({ ...record, inbox: undefined })],
  ['a TTL of text', JSON.stringify({ ...record, ttl: '30s' })],
  ['a TTL of 0', JSON.stringify({ ...record, ttl: 0 })],
  ['metadata of numbers', JSON.stringify({ ...record, metadata: { a: 1 } })],
  ['a token from the future', JSON.stringify({ ...record, token: 2 ** 52 })],
  ['100 kB', JSON.stringify({ ...record, metadata: { a: 'x'.repeat(100_000) } })],
  ['fields that are not known', JSON.stringify({ ...record, colour: 'green' })],
];
const isUnderstood = (name: string): boolean => /as it should be|not known/.test(name);

describe.each(records)('a key in the queue of a lock that says %s', (name, value) => {
  it('and has no lease blocks nobody: it is removed, with a warning', async () => {
    await write(`${NAME}/forged`, value);
    const { driver, warnings } = await open();
    expect(await driver.inspect(NAME)).toBeNull();
    const claim = claimOf('a');
    expect(await driver.acquire(claim, 'try')).toMatchObject({ status: 'granted' });
    expect(warnings).toEqual([expect.stringMatching(/"test:l:k\/forged".*"test:l:k" has no lease.*it was removed/)]);
    expect(await etcd.stored(`${NAME}/`)).toHaveLength(1);
    await driver.release(claim);
  });

  it('and has a lease holds the lock until that ends, and breaks nothing', async () => {
    await grantLease();
    await write(`${NAME}/forged`, value, LEASE);
    const { driver, warnings, events } = await open();
    const claim = claimOf('a');
    const refused = await driver.acquire(claim, 'try');
    expect(refused).toMatchObject({ status: 'refused', record: { instance: isUnderstood(name) ? 'x' : 'unknown' } });
    expect(await driver.inspect(NAME)).toMatchObject({ waiters: 0 });
    const waiting = claimOf('b');
    expect(await driver.acquire(waiting, 'queue')).toMatchObject({ status: 'queued' });
    if (isUnderstood(name)) expect(warnings).toEqual([]);
    else expect(warnings).toEqual([expect.stringMatching(/is no record of this package.*until its lease ends/)]);
    await post('lease/revoke', { ID: String(LEASE) });
    await vi.waitFor(() => expect(events.some(({ type }) => type === 'granted')).toBe(true), 3000);
    expect(await driver.release(waiting)).toBe(true);
  });

  it('and stands between those who wait costs them nothing', async () => {
    const [holder, waiter] = [await open(), await open()];
    const [held, waiting] = [claimOf('a'), claimOf('b')];
    await holder.driver.acquire(held, 'try');
    await write(`${NAME}/forged`, value);
    expect(await waiter.driver.acquire(waiting, 'queue')).toMatchObject({ status: 'queued' });
    expect(await holder.driver.release(held, 'x')).toBe(true);
    await vi.waitFor(() => expect(waiter.events.some(({ type }) => type === 'granted')).toBe(true), 3000);
    await waiter.driver.release(waiting);
    expect(await etcd.stored(`${NAME}/`)).toEqual([]);
  });
});

describe('keys without a lease', () => {
  it('are removed also when there are hundreds, and from the queue of an engine that waits', async () => {
    for (let index = 0; index < 120; index++) await write(`${NAME}/forged${index}`, 'x');
    const engine = etcd.engine('a');
    await using lock = await engine.manager.acquire(request({ ttl: 30_000, limit: { wait: 5000 } }));
    expect(lock.held).toBe(true);
  });

  it('that come again each time do not keep a request for ever', async () => {
    await write(`${NAME}/forged`, 'x');
    const { driver } = await open();
    intercept(driver, async ({ name }, send) => {
      const answer = await send();
      if (name === 'txn') await write(`${NAME}/forged`, 'x');
      return answer;
    });
    expect(await driver.acquire(claimOf('a'), 'try')).toMatchObject({ status: 'refused' });
  });

  it('control: block the lock for ever where nobody looks at leases', async () => {
    vi.spyOn(Strangers.prototype, 'removed').mockResolvedValue(false);
    await write(`${NAME}/forged`, JSON.stringify(record));
    const { driver } = await open();
    expect(await driver.acquire(claimOf('a'), 'try')).toMatchObject({ status: 'refused' });
  });

  it('that were changed in the meantime are not removed', async () => {
    await grantLease();
    await write(`${NAME}/forged`, 'x');
    const { driver } = await open();
    intercept(driver, async ({ name }, send) => {
      const answer = await send();
      // Between the look and the removal it becomes somebody's claim.
      if (name === 'range') await write(`${NAME}/forged`, JSON.stringify(record), LEASE);
      return answer;
    });
    expect(await driver.acquire(claimOf('a'), 'try')).toMatchObject({ status: 'refused', record: { instance: 'x' } });
    expect(await etcd.stored(`${NAME}/`)).toHaveLength(1);
  });
});

describe('in the fact store', () => {
  it('a fact without a lease, or of any size, is none', async () => {
    await grantLease();
    const { driver } = await open();
    const scope = 'test:m:default';
    await driver.facts.put(scope, 'member', '{}', 10_000);
    await write(factKey(scope, 'forged'), '{}');
    await write(factKey(scope, 'large'), 'x'.repeat(100_000), LEASE);
    expect([...(await driver.facts.list(scope)).keys()]).toEqual(['member']);
  });

  it.each([
    ['no lease', JSON.stringify({ to: 2 ** 52, by: 'x' }), 0],
    ['no JSON', 'x', LEASE],
    ['null', 'null', LEASE],
    ['a text for a number', JSON.stringify({ to: '9', by: 'x' }), LEASE],
    ['a number that JSON has not', '{"to":1e999,"by":"x"}', LEASE],
    ['nobody who moved it', JSON.stringify({ to: 2 ** 52 }), LEASE],
    ['100 kB', JSON.stringify({ to: 2 ** 52, by: 'x'.repeat(100_000) }), LEASE],
  ])('a number with %s is none, and is written over', async (_, value, lease) => {
    await grantLease();
    const { driver } = await open();
    await write(numberKey('test:f:', 'job'), value, lease);
    expect(await driver.facts.advance('test:f:', 'job', 5, 'a', 10_000)).toBe('mine');
    expect(await driver.facts.advance('test:f:', 'job', 5, 'b', 10_000)).toBe('taken');
  });

  it.each(['', 'contended', 'granted test:l:k', `contended ${'x'.repeat(100_000)}`, 'contended \u0000'])(
    'a note that says %.30j disturbs nobody',
    async (note) => {
      const { driver } = await open();
      const claim = claimOf('a');
      await driver.acquire(claim, 'try');
      const { inbox } = JSON.parse((await etcd.stored(`${NAME}/`))[0]!.value) as { inbox: string };
      await write(`test:i:${inbox}`, note);
      expect(await driver.renew([claim])).toEqual([{ waiters: 0 }]);
      expect(claimKey(NAME, claim.holder)).toBe((await etcd.stored(`${NAME}/`))[0]!.key);
    },
  );
});
