import { EtcdDriver } from 'nestjs-dist-lock/etcd';
import { describe, expect, it, vi } from 'vitest';
import type { FactStore } from '../../lib/core/fact-store.js';
import { useEtcd } from '../support/servers/use-etcd.js';

const SCOPE = 'test:m:default';
const etcd = useEtcd();

async function open(): Promise<FactStore> {
  const driver = new EtcdDriver({ hosts: etcd.cluster.hosts });
  const listener = (): void => undefined;
  await driver.connect(listener);
  etcd.closing.push(() => driver.close(listener));
  return driver.facts;
}

describe('the fact store in etcd', () => {
  it('lists the facts of one scope, as they were written last', async () => {
    const [one, other] = [await open(), await open()];
    await one.put(SCOPE, 'a/b', '1', 10_000);
    await one.put(SCOPE, 'a/b', '2', 10_000);
    await other.put(SCOPE, 'é', '{}', 20_000);
    await other.put(`${SCOPE}/x`, 'c', '3', 20_000);
    expect(await other.list(SCOPE)).toEqual(
      new Map([
        ['a/b', '2'],
        ['é', '{}'],
      ]),
    );
    await one.remove(SCOPE, 'a/b');
    await one.remove(SCOPE, 'never');
    expect([...(await other.list(SCOPE)).keys()]).toEqual(['é']);
  });

  it('forgets a fact that is not refreshed, and keeps one that is', async () => {
    const facts = await open();
    await facts.put(SCOPE, 'old', 'x', 1000);
    await facts.put(SCOPE, 'kept', 'x', 1000);
    await vi.waitFor(
      async () => {
        await facts.put(SCOPE, 'kept', 'x', 1000);
        expect([...(await facts.list(SCOPE)).keys()]).toEqual(['kept']);
      },
      { timeout: 8000, interval: 200 },
    );
  });

  it('writes a fact again that an operator deleted', async () => {
    const facts = await open();
    await facts.put(SCOPE, 'a', 'x', 10_000);
    await etcd.cluster.empty();
    await facts.put(SCOPE, 'a', 'x', 10_000);
    expect((await facts.list(SCOPE)).get('a')).toBe('x');
  });

  it('writes in the order of the calls, also when they do not wait for each other', async () => {
    const facts = await open();
    for (let round = 0; round < 20; round++) {
      const calls = [
        facts.put(SCOPE, 'a', `${round}`, 10_000),
        facts.remove(SCOPE, 'a'),
        facts.put(SCOPE, 'a', 'last', 10_000),
      ];
      await Promise.all(calls);
      expect((await facts.list(SCOPE)).get('a')).toBe('last');
    }
  });

  it('tells of changes and removals, not of a refresh, until it is ended', async () => {
    const [one, other] = [await open(), await open()];
    const changed = vi.fn();
    const end = other.watch(SCOPE, changed);
    const told = (times: number) => vi.waitFor(() => expect(changed).toHaveBeenCalledTimes(times), 2000);
    await one.put(SCOPE, 'a', '1', 10_000);
    // Changes are told in order: who hears of this one listens, and has heard of those before.
    const marked = vi.fn();
    const endMarker = other.watch(`${SCOPE}:marker`, marked);
    await vi.waitFor(async () => {
      await one.put(`${SCOPE}:marker`, 'a', String(Math.random()), 10_000);
      expect(marked).toHaveBeenCalled();
    }, 5000);
    endMarker();
    changed.mockClear();
    await one.put(SCOPE, 'a', '1', 10_000);
    await one.put(SCOPE, 'a', '2', 10_000);
    await told(1);
    await one.remove(SCOPE, 'a');
    await told(2);
    end();
    await one.put(SCOPE, 'a', '3', 10_000);
    await one.put(SCOPE, 'b', '3', 10_000);
    expect(changed).toHaveBeenCalledTimes(2);
  });

  it('moves a number forward only, once for each who asks', async () => {
    const [one, other] = [await open(), await open()];
    expect(await one.advance('test:f:', 'job', 100, 'one', 10_000)).toBe('mine');
    expect(await one.advance('test:f:', 'job', 100, 'one', 10_000)).toBe('mine');
    expect(await other.advance('test:f:', 'job', 100, 'other', 10_000)).toBe('taken');
    expect(await other.advance('test:f:', 'job', 99, 'other', 10_000)).toBe('taken');
    expect(await other.advance('test:f:', 'job', 200, 'other', 10_000)).toBe('mine');
    expect(await one.advance('test:f:', 'job', 100, 'one', 10_000)).toBe('taken');
    expect(await one.advance('test:f:', 'another', 1, 'one', 10_000)).toBe('mine');
  });

  it('gives a number to exactly one of many', async () => {
    const stores = await Promise.all(Array.from({ length: 5 }, open));
    for (let to = 1; to <= 5; to++) {
      const asked = stores.map((facts, index) => facts.advance('test:f:', 'job', to, `i${index}`, 10_000));
      const answers = await Promise.all(asked);
      expect(answers.filter((answer) => answer === 'mine')).toHaveLength(1);
    }
  });

  it('forgets a number when its time is over', async () => {
    const facts = await open();
    expect(await facts.advance('test:f:', 'job', 5, 'one', 1000)).toBe('mine');
    await vi.waitFor(async () => expect(await facts.advance('test:f:', 'job', 1, 'other', 1000)).toBe('mine'), {
      timeout: 8000,
      interval: 200,
    });
  });
});
