import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import type { FactStore } from '../core/fact-store.js';
import { type FactStoreCases, newScope, STRINGS } from './fact-store-stage.js';
import { until } from './until.js';

/** Counts the calls of a watcher. */
class Watcher {
  calls = 0;
  readonly end: () => void;
  readonly #facts: FactStore;
  readonly #scope: string;

  constructor(facts: FactStore, scope: string) {
    this.#facts = facts;
    this.#scope = scope;
    this.end = facts.watch(scope, () => void this.calls++);
  }

  /** Until changes arrive: a driver may need a moment before it listens. */
  async listens(long: number): Promise<void> {
    const scope = this.#scope;
    const changing = async (): Promise<boolean> => {
      await this.#facts.put(scope, 'listening', randomUUID(), long);
      return this.calls > 1;
    };
    await until(changing, 2000, 'who watches is told of changes');
    await this.#facts.remove(scope, 'listening');
  }
}

export const factsCases: FactStoreCases = {
  async 'keeps facts by scope and id, for everybody and whatever their characters'({ scope, stores, long }) {
    const [one, other] = stores;
    assert.deepEqual(await one.list(scope), new Map(), 'a scope begins empty');
    const facts = new Map(STRINGS.map((id, index) => [id, STRINGS.at(-index)!]));
    for (const [id, value] of facts) await one.put(scope, id, value, long);
    assert.deepEqual(sorted(await other.list(scope)), sorted(facts));
    await other.put(scope, 'é', 'another', long);
    assert.deepEqual(sorted(await one.list(scope)), sorted(facts.set('é', 'another')));
    for (const name of [`${scope}:`, `${scope}}`, `${scope}x`]) {
      assert.deepEqual(await one.list(name), new Map(), `${JSON.stringify(name)} is another scope`);
    }
  },

  async 'removes a fact, and nothing else'({ scope, stores: [one, other], long }) {
    await one.put(scope, 'a', '1', long);
    await one.put(scope, 'b', '2', long);
    await one.put(`${scope}:`, 'a', '3', long);
    await other.remove(scope, 'a');
    await other.remove(scope, 'a');
    await other.remove(scope, 'never there');
    assert.deepEqual(await one.list(scope), new Map([['b', '2']]));
    assert.deepEqual(await one.list(`${scope}:`), new Map([['a', '3']]));
  },

  async 'forgets a fact that is not refreshed in time, and only that'({
    clock,
    scope,
    stores: [one, other],
    long,
    short,
  }) {
    const sentAt = clock.now();
    await one.put(scope, 'refreshed', 'value', short);
    await one.put(scope, 'refreshed', 'value', long);
    await one.put(scope, 'shortened', 'value', long);
    await one.put(scope, 'shortened', 'value', short);
    await one.put(scope, 'once', 'value', short);
    const left = async (): Promise<string[]> => [...(await other.list(scope)).keys()].sort();
    await until(async () => !(await left()).includes('once'), short * 4 + 2000, 'the fact ends');
    const lasted = clock.now() - sentAt;
    assert.ok(lasted >= short - 5, `it lasted its TTL of ${short} ms, not ${Math.round(lasted)} ms`);
    assert.deepEqual(await left(), ['refreshed'], 'each by its last TTL');
    await other.put(scope, 'once', 'again', long);
    assert.deepEqual(await left(), ['once', 'refreshed'], 'one that has ended can be written again');
  },

  async 'tells who watches of another value and of a removal'({ scope, stores: [one, other], long }) {
    const watcher = new Watcher(one, scope);
    await watcher.listens(long);
    const tells = async (what: string, act: () => Promise<void>): Promise<void> => {
      await settled(other, one, long);
      const before = watcher.calls;
      await act();
      await until(() => watcher.calls > before, 2000, `who watches is told of ${what}`);
    };
    await tells('a new fact', () => other.put(scope, 'a', '1', long));
    await tells('another value', () => other.put(scope, 'a', '2', long));
    await tells('what its own driver writes', () => one.put(scope, 'a', '3', long));
    await tells('a removal', () => other.remove(scope, 'a'));
    await tells('a fact that was there before', () => other.put(scope, 'a', '3', long));
    watcher.end();
  },

  async 'tells nobody of a refresh, of another scope, or of what was not there'({ scope, stores, long }) {
    const [one, other] = stores;
    const watcher = new Watcher(one, scope);
    await watcher.listens(long);
    await other.put(scope, 'a', 'value', long);
    await settled(other, one, long);
    const told = async (): Promise<boolean> => {
      const before = watcher.calls;
      for (let round = 0; round < 10; round++) {
        await other.put(scope, 'a', 'value', long);
        await other.put(`${scope}:`, 'a', `${round}`, long);
        await other.remove(scope, 'never there');
      }
      await settled(other, one, long);
      return watcher.calls > before;
    };
    // One of several servers may be late and tell of what came before, once.
    assert.ok(!(await told()) || !(await told()) || !(await told()), 'nobody is told');
    watcher.end();
  },

  async 'tells nothing after the watch has ended, and goes on for the others'({ scope, stores: [one, other], long }) {
    const [ended, goesOn] = [new Watcher(one, scope), new Watcher(one, scope)];
    await Promise.all([ended.listens(long), goesOn.listens(long)]);
    await settled(other, one, long);
    ended.end();
    ended.end();
    const before = [ended.calls, goesOn.calls] as const;
    await other.put(scope, 'a', 'value', long);
    await until(() => goesOn.calls > before[1], 2000, 'the other watcher is told');
    goesOn.end();
    const after = goesOn.calls;
    await other.put(scope, 'a', 'another', long);
    await settled(other, one, long);
    assert.deepEqual([ended.calls, goesOn.calls], [before[0], after]);

    const again = new Watcher(one, scope);
    await again.listens(long);
    again.end();
  },
};

/** Resolves when `to` has been told of everything that `from` wrote so far, as far as messages keep their order. */
async function settled(from: FactStore, to: FactStore, long: number): Promise<void> {
  const marker = newScope();
  const watcher = new Watcher(to, marker);
  // Of another scope: what it writes to find out may arrive late, and is no marker.
  const later = new Watcher(to, newScope());
  await later.listens(long);
  const before = watcher.calls;
  await from.put(marker, 'marker', randomUUID(), long);
  await until(() => watcher.calls > before, 2000, 'a marker arrives');
  watcher.end();
  later.end();
}

const sorted = (facts: ReadonlyMap<string, string>): [string, string][] =>
  [...facts].sort(([a], [b]) => (a < b ? -1 : 1));
