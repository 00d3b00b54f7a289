import assert from 'node:assert/strict';
import { DriverUnavailableError } from '../core/errors.js';
import type { FactStore } from '../core/fact-store.js';
import type { Bench } from './bench.js';
import { newScope } from './fact-store-stage.js';
import { factsCases } from './facts-cases.js';
import { numbersCases } from './numbers-cases.js';

/** Without effect for a driver that has no fact store. */
export const factStoreCases: Record<string, (bench: Bench) => Promise<void>> = {
  ...Object.fromEntries(
    Object.entries({ ...factsCases, ...numbersCases }).map(([name, check]) => [
      `facts: ${name}`,
      async (bench: Bench) => {
        const [one, other] = [await bench.instance(), await bench.instance()];
        if (!one.driver.facts || !other.driver.facts) return;
        await check({
          clock: bench.clock,
          scope: newScope(),
          stores: [persistent(one.driver.facts), persistent(other.driver.facts)],
          long: bench.longTtl,
          short: bench.shortTtl(one),
        });
      },
    ]),
  ),

  async 'facts: says that nothing was sent once the driver is closed'(bench) {
    const { driver, listener } = await bench.instance();
    const { facts } = driver;
    if (!facts) return;
    await driver.close(listener);
    const scope = newScope();
    const calls = [
      () => facts.put(scope, 'id', 'value', bench.longTtl),
      () => facts.remove(scope, 'id'),
      () => facts.list(scope),
      () => facts.advance(scope, 'id', 1, 'by', bench.longTtl),
    ];
    for (const call of calls) {
      await assert.rejects(call, (error) => error instanceof DriverUnavailableError && !error.sent);
    }
    assert.doesNotThrow(() => facts.watch(scope, () => undefined)(), 'to watch it is harmless');
  },
};

const ATTEMPTS = 3;

/** Repeats a call whose outcome is unknown: each call of a fact store may be repeated, and the store may just be slow. */
function persistent(facts: FactStore): FactStore {
  const repeat = async <T>(call: () => Promise<T>): Promise<T> => {
    for (let attempt = 1; ; attempt++) {
      try {
        return await call();
      } catch (error) {
        if (attempt === ATTEMPTS || !(error instanceof DriverUnavailableError)) throw error;
      }
    }
  };
  return {
    put: (...args) => repeat(() => facts.put(...args)),
    remove: (...args) => repeat(() => facts.remove(...args)),
    list: (...args) => repeat(() => facts.list(...args)),
    advance: (...args) => repeat(() => facts.advance(...args)),
    watch: (...args) => facts.watch(...args),
  };
}
