import { beforeEach, describe, expect, it } from 'vitest';
import { DriverUnavailableError } from '../../../../lib/core/errors.js';
import { MemoryFactStore } from '../../../../lib/drivers/memory/memory-fact-store.js';
import { ManualClock } from '../../../../lib/testing/manual-clock.js';

const scope = 'test:m:default';

describe('the fact store in memory', () => {
  let clock: ManualClock;
  let isOpen: boolean;
  let facts: MemoryFactStore;
  beforeEach(() => {
    clock = new ManualClock();
    isOpen = true;
    facts = new MemoryFactStore(clock, () => {
      if (!isOpen) throw new DriverUnavailableError('Closed.', { sent: false });
    });
  });
  const ids = async (): Promise<string[]> => [...(await facts.list(scope)).keys()];

  it('forgets a fact exactly its TTL after the last put, by the given clock', async () => {
    await facts.put(scope, 'id', 'value', 1000);
    await clock.advance(600);
    await facts.put(scope, 'id', 'value', 1000);
    await clock.advance(999);
    expect(await ids()).toEqual(['id']);
    await clock.advance(1);
    expect(await ids()).toEqual([]);
  });

  it('forgets a number exactly its TTL after the last move, which a repeated answer is not', async () => {
    await facts.advance(scope, 'job', 10, 'a', 1000);
    await clock.advance(999);
    expect(await facts.advance(scope, 'job', 10, 'a', 1000)).toBe('mine');
    expect(await facts.advance(scope, 'job', 9, 'b', 1000)).toBe('taken');
    await clock.advance(1);
    expect(await facts.advance(scope, 'job', 9, 'b', 1000)).toBe('mine');
  });

  it('announces a fact that is written again after it ran out, not that it ran out', async () => {
    const told: number[] = [];
    facts.watch(scope, () => told.push(clock.now()));
    await facts.put(scope, 'id', 'value', 1000);
    await clock.advance(5000);
    await facts.remove(scope, 'id');
    expect(told).toEqual([0]);
    await facts.put(scope, 'id', 'value', 1000);
    expect(told).toEqual([0, 5000]);
  });

  it('lists what it is told of, in the watcher itself', async () => {
    const seen: Promise<ReadonlyMap<string, string>>[] = [];
    facts.watch(scope, () => seen.push(facts.list(scope)));
    await facts.put(scope, 'id', 'value', 1000);
    await facts.remove(scope, 'id');
    expect(await Promise.all(seen)).toEqual([new Map([['id', 'value']]), new Map()]);
  });

  it('counts one function that watches twice as two, and lets each end within the call', async () => {
    let calls = 0;
    const ends: (() => void)[] = [];
    const changed = (): void => {
      calls++;
      ends.shift()?.();
    };
    ends.push(facts.watch(scope, changed), facts.watch(scope, changed));
    await facts.put(scope, 'id', '1', 1000);
    expect(calls).toBe(2);
    await facts.put(scope, 'id', '2', 1000);
    expect(calls).toBe(2);
  });

  it('gives out lists that do not change afterwards', async () => {
    await facts.put(scope, 'id', 'value', 1000);
    const before = await facts.list(scope);
    await facts.put(scope, 'another', 'value', 1000);
    expect([...before.keys()]).toEqual(['id']);
  });

  it('does nothing once the driver is closed', async () => {
    isOpen = false;
    await expect(facts.put(scope, 'id', 'value', 1000)).rejects.toThrow(DriverUnavailableError);
    await expect(facts.advance(scope, 'job', 1, 'a', 1000)).rejects.toThrow(DriverUnavailableError);
    isOpen = true;
    expect(await ids()).toEqual([]);
    expect(await facts.advance(scope, 'job', 1, 'b', 1000)).toBe('mine');
  });
});
