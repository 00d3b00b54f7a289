import { ManualClock } from 'nestjs-dist-lock/testing';
import { expect, it } from 'vitest';
import { Deadlines } from '../../../lib/core/deadlines.js';
import type { Timed } from '../../../lib/core/heap.js';

class Item implements Timed {
  place: number | undefined;
  constructor(
    readonly name: string,
    readonly deadline: number,
  ) {}
}

it('what one that is over removes is not over, also when it was due at the same time', async () => {
  const clock = new ManualClock();
  const over: string[] = [];
  const [first, second, third] = [new Item('first', 10), new Item('second', 10), new Item('third', 20)] as const;
  const deadlines = new Deadlines<Item>(clock, ({ name }) => {
    over.push(name);
    deadlines.remove(second);
  });
  for (const item of [first, second, third]) deadlines.add(item, clock.now());
  await clock.advance(30);
  expect(over).toEqual(['first', 'third']);
});
