import assert from 'node:assert/strict';
import { type FactStoreCases, STRINGS } from './fact-store-stage.js';
import { until } from './until.js';

export const numbersCases: FactStoreCases = {
  async 'moves a number forward only'({ scope, stores: [one, other], long }) {
    const latest = Number.MAX_SAFE_INTEGER;
    const steps: [to: number, by: string, expected: 'mine' | 'taken'][] = [
      [10, 'a', 'mine'],
      [10, 'b', 'taken'],
      [9, 'a', 'taken'],
      [9, 'b', 'taken'],
      [11, 'b', 'mine'],
      [10, 'a', 'taken'],
      [100, 'a', 'mine'],
      [latest - 1, 'a', 'mine'],
      [latest - 2, 'b', 'taken'],
      [latest, 'b', 'mine'],
      [latest - 1, 'a', 'taken'],
      [latest, 'b', 'mine'],
    ];
    for (const [index, [to, by, expected]] of steps.entries()) {
      const facts = index % 2 ? one : other;
      assert.equal(await facts.advance(scope, 'job', to, by, long), expected, `to ${to} by ${by}`);
    }
    assert.deepEqual(await one.list(scope), new Map(), 'a number is not a fact');
  },

  async 'answers a repeated move as before, for the one who made it'({ scope, stores: [one, other], long }) {
    for (const by of STRINGS) {
      const id = `job ${JSON.stringify(by)}`;
      assert.equal(await one.advance(scope, id, 5, by, long), 'mine');
      assert.equal(await other.advance(scope, id, 5, by, long), 'mine', `by ${JSON.stringify(by)}, repeated`);
      assert.equal(await one.advance(scope, id, 5, `${by}x`, long), 'taken');
      assert.equal(await one.advance(scope, id, 5, by, long), 'mine', 'also after somebody else was refused');
    }
  },

  async 'keeps numbers apart by scope and id, whatever their characters'({ scope, stores: [one], long }) {
    const places = STRINGS.flatMap((text) => [
      [scope, text],
      [scope + text, ''],
      [scope + text, 'x'],
    ]);
    const distinct = new Map(places.map((place) => [JSON.stringify(place), place]));
    for (const [name, [within, id]] of distinct) {
      assert.equal(await one.advance(within!, id!, 1, name, long), 'mine', `${name} was not moved before`);
    }
  },

  async 'lets exactly one of many move a number that all move at once'({ scope, stores, long }) {
    for (let to = 1; to <= 5; to++) {
      const answers = await Promise.all(
        Array.from({ length: 50 }, (_, index) => stores[index % 2]!.advance(scope, 'job', to, `by ${index}`, long)),
      );
      assert.equal(answers.filter((answer) => answer === 'mine').length, 1, `one moves it to ${to}`);
    }
  },

  async 'forgets a number some time after its last move'({ clock, scope, stores: [one, other], long, short }) {
    const sentAt = clock.now();
    await one.advance(scope, 'kept', 9, 'a', short);
    await one.advance(scope, 'kept', 10, 'a', long);
    await one.advance(scope, 'job', 10, 'a', short);
    const isForgotten = async (): Promise<boolean> => (await other.advance(scope, 'job', 1, 'b', long)) === 'mine';
    await until(isForgotten, short * 4 + 2000, 'the number is forgotten');
    const lasted = clock.now() - sentAt;
    assert.ok(lasted >= short - 5, `it lasted its TTL of ${short} ms, not ${Math.round(lasted)} ms`);
    assert.equal(await other.advance(scope, 'kept', 10, 'b', long), 'taken', 'a move arms its own TTL');
  },
};
