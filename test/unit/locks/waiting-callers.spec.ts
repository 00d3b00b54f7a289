import { ManualClock } from 'nestjs-dist-lock/testing';
import { describe, expect, it } from 'vitest';
import { type Linked, LinkedList } from '../../../lib/core/linked-list.js';
import { WAIT_IS_OVER, WaitingCallers } from '../../../lib/locks/wait-limit.js';

class CountingClock extends ManualClock {
  timers = 0;
  /** Those that keep the process alive. */
  alive = 0;

  override after(milliseconds: number, task: () => void, keepAlive = false): ReturnType<ManualClock['after']> {
    this.timers++;
    const timer = super.after(milliseconds, task);
    if (!keepAlive) return timer;
    this.alive++;
    const cancel = (): void => {
      this.alive--;
      timer.cancel();
    };
    return { cancel };
  }
}

function callers() {
  const clock = new CountingClock();
  const waiting = new WaitingCallers(clock);
  const ended: string[] = [];
  const add = (name: string, wait: number, signal?: AbortSignal) => {
    const waitLimit = waiting.add({ key: name, storeKey: name, wait, signal }, clock.now());
    const never = waitLimit.race(new Promise<never>(() => undefined));
    never.catch((reason: unknown) =>
      ended.push(reason === WAIT_IS_OVER ? `${name} ${clock.now()}` : `${name} ${String(reason)}`),
    );
    return waitLimit;
  };
  return { clock, waiting, ended, add };
}

describe('callers that wait', () => {
  it('are ended at their own deadlines, whatever the order in which they came', async () => {
    const { clock, ended, add } = callers();
    add('slow', 300);
    add('quick', 100);
    add('for ever', Infinity);
    add('middle', 200);
    await clock.advance(1000);
    expect(ended).toEqual(['quick 100', 'middle 200', 'slow 300']);
  });

  it('share a timer: one that comes and goes in time needs none of its own', async () => {
    const { clock, ended, add } = callers();
    for (let call = 0; call < 1000; call++) add('gone', 10_000).dispose();
    expect(clock.timers).toBe(1);
    add('late', 10_000);
    await clock.advance(9_999);
    expect(ended).toEqual([]);
    await clock.advance(1);
    expect(ended).toEqual(['late 10000']);
  });

  it('are not ended by the timer of one that has gone', async () => {
    const { clock, ended, add } = callers();
    add('gone', 100).dispose();
    await clock.advance(50);
    add('stays', 100);
    await clock.advance(60);
    expect(ended).toEqual([]);
    await clock.advance(40);
    expect(ended).toEqual(['stays 150']);
  });

  it('keep the process alive as long as one of them waits, unless nobody awaits it', () => {
    const { clock, waiting } = callers();
    const add = (isBackground: boolean) => {
      const waitLimit = waiting.add({ key: 'k', storeKey: 'k', wait: 100, isBackground }, clock.now());
      void waitLimit.wait(new Promise<never>(() => undefined));
      return waitLimit;
    };
    const background = add(true);
    expect(clock.alive).toBe(0);
    const [first, second] = [add(false), add(false)];
    expect(clock.alive).toBe(1);
    first.dispose();
    expect(clock.alive).toBe(1);
    second.dispose();
    background.dispose();
    expect(clock.alive).toBe(0);
  });

  it('whose time is over wait for nothing more', async () => {
    const { clock, waiting, ended } = callers();
    const waitLimit = waiting.add({ key: 'k', storeKey: 'k', wait: 100 }, clock.now());
    await clock.advance(100);
    void waitLimit.race(new Promise<never>(() => undefined)).catch((reason) => ended.push(String(reason)));
    await clock.advance(0);
    expect(ended).toEqual([String(WAIT_IS_OVER)]);
  });

  it('are ended by their signal, and no longer listen to it when they have gone', async () => {
    const { clock, ended, add } = callers();
    const controller = new AbortController();
    add('aborted', 1000, controller.signal);
    add('gone', 1000, controller.signal).dispose();
    controller.abort('enough');
    await clock.advance(1000);
    expect(ended).toEqual(['aborted enough']);
  });
});

describe('a linked list', () => {
  class Item implements Linked<Item> {
    before: Item | undefined;
    after: Item | undefined;
    constructor(readonly name: string) {}
  }
  const names = (list: LinkedList<Item>): string =>
    list
      .items()
      .map(({ name }) => name)
      .join('');

  it.each([
    ['a', 'bcd'],
    ['b', 'acd'],
    ['d', 'abc'],
    ['abcd', ''],
    ['dcba', ''],
    ['bd', 'ac'],
  ])('without %s is "%s", in the order of arrival, and takes what was removed at its end', (removed, left) => {
    const list = new LinkedList<Item>();
    const items = new Map('abcd'.split('').map((name) => [name, new Item(name)]));
    for (const item of items.values()) list.append(item);
    for (const name of removed) {
      list.remove(items.get(name)!);
      list.remove(items.get(name)!);
      expect(list.has(items.get(name)!)).toBe(false);
    }
    expect(names(list)).toBe(left);
    for (const name of removed) list.append(items.get(name)!);
    expect(names(list)).toBe(left + removed);
    for (const item of items.values()) expect(list.has(item)).toBe(true);
  });

  it('may change while somebody goes through it', () => {
    const list = new LinkedList<Item>();
    for (const name of 'abc') list.append(new Item(name));
    for (const item of list.items()) list.remove(item);
    expect(list.first).toBeUndefined();
  });
});
