import { describe, expect, it, vi } from 'vitest';
import { Watchers } from '../../../../lib/drivers/common/watchers.js';

describe('the watchers of a fact store', () => {
  it('hear of their own name, each as often as it was added', () => {
    const watchers = new Watchers();
    const [a, b] = [vi.fn<() => void>(), vi.fn<() => void>()];
    watchers.add('a', a);
    watchers.add('a', a);
    watchers.add('b', b);
    watchers.notify('a');
    watchers.notify('nobody');
    expect([a, b].map(({ mock }) => mock.calls.length)).toEqual([2, 0]);
    watchers.notifyAll();
    expect([a, b].map(({ mock }) => mock.calls.length)).toEqual([4, 1]);
  });

  it('say which of them was the last of its name, once', () => {
    const watchers = new Watchers();
    const changed = vi.fn<() => void>();
    const [first, last] = [watchers.add('a', changed), watchers.add('a', changed)];
    expect([first.hasEnded, first.end(), first.end(), first.hasEnded]).toEqual([false, false, false, true]);
    expect([last.end(), last.end()]).toEqual([true, false]);
    watchers.notifyAll();
    expect(changed).not.toHaveBeenCalled();
  });

  it('that ended are no matter of those that came after them', () => {
    const watchers = new Watchers();
    const changed = vi.fn<() => void>();
    const former = watchers.add('a', () => undefined);
    former.end();
    watchers.add('a', changed);
    expect(former.end()).toBe(false);
    watchers.notify('a');
    expect(changed).toHaveBeenCalledTimes(1);
  });
});
