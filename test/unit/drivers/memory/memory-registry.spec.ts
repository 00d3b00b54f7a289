import { beforeEach, describe, expect, it } from 'vitest';
import { DriverUnavailableError } from '../../../../lib/core/errors.js';
import { MemoryRegistry } from '../../../../lib/drivers/memory/memory-registry.js';
import { ManualClock } from '../../../../lib/testing/manual-clock.js';

const scope = 'test:m:default';

describe('the registry in memory', () => {
  let clock: ManualClock;
  let isOpen: boolean;
  let registry: MemoryRegistry;
  beforeEach(() => {
    clock = new ManualClock();
    isOpen = true;
    registry = new MemoryRegistry(clock, () => {
      if (!isOpen) throw new DriverUnavailableError('Closed.', { sent: false });
    });
  });
  const ids = async (): Promise<string[]> => [...(await registry.list(scope)).keys()];

  it('forgets a fact exactly its TTL after the last put, by the given clock', async () => {
    await registry.put(scope, 'id', 'value', 1000);
    await clock.advance(600);
    await registry.put(scope, 'id', 'value', 1000);
    await clock.advance(999);
    expect(await ids()).toEqual(['id']);
    await clock.advance(1);
    expect(await ids()).toEqual([]);
  });

  it('forgets a number exactly its TTL after the last move, which a repeated answer is not', async () => {
    await registry.advance(scope, 'job', 10, 'a', 1000);
    await clock.advance(999);
    expect(await registry.advance(scope, 'job', 10, 'a', 1000)).toBe('mine');
    expect(await registry.advance(scope, 'job', 9, 'b', 1000)).toBe('taken');
    await clock.advance(1);
    expect(await registry.advance(scope, 'job', 9, 'b', 1000)).toBe('mine');
  });

  it('announces a fact that is written again after it ran out, not that it ran out', async () => {
    const told: number[] = [];
    registry.watch(scope, () => told.push(clock.now()));
    await registry.put(scope, 'id', 'value', 1000);
    await clock.advance(5000);
    await registry.remove(scope, 'id');
    expect(told).toEqual([0]);
    await registry.put(scope, 'id', 'value', 1000);
    expect(told).toEqual([0, 5000]);
  });

  it('lists what it is told of, in the watcher itself', async () => {
    const seen: Promise<ReadonlyMap<string, string>>[] = [];
    registry.watch(scope, () => seen.push(registry.list(scope)));
    await registry.put(scope, 'id', 'value', 1000);
    await registry.remove(scope, 'id');
    expect(await Promise.all(seen)).toEqual([new Map([['id', 'value']]), new Map()]);
  });

  it('counts one function that watches twice as two, and lets each end within the call', async () => {
    let calls = 0;
    const ends: (() => void)[] = [];
    const changed = (): void => {
      calls++;
      ends.shift()?.();
    };
    ends.push(registry.watch(scope, changed), registry.watch(scope, changed));
    await registry.put(scope, 'id', '1', 1000);
    expect(calls).toBe(2);
    await registry.put(scope, 'id', '2', 1000);
    expect(calls).toBe(2);
  });

  it('gives out lists that do not change afterwards', async () => {
    await registry.put(scope, 'id', 'value', 1000);
    const before = await registry.list(scope);
    await registry.put(scope, 'another', 'value', 1000);
    expect([...before.keys()]).toEqual(['id']);
  });

  it('does nothing once the driver is closed', async () => {
    isOpen = false;
    await expect(registry.put(scope, 'id', 'value', 1000)).rejects.toThrow(DriverUnavailableError);
    await expect(registry.advance(scope, 'job', 1, 'a', 1000)).rejects.toThrow(DriverUnavailableError);
    isOpen = true;
    expect(await ids()).toEqual([]);
    expect(await registry.advance(scope, 'job', 1, 'b', 1000)).toBe('mine');
  });
});
