import assert from 'node:assert/strict';
import { DriverUnavailableError } from '../core/errors.js';
import type { Registry } from '../core/registry.js';
import type { Bench } from './driver-contract.js';
import { factsCases } from './registry-facts-contract.js';
import { numbersCases } from './registry-numbers-contract.js';
import { newScope } from './registry-stage.js';

/** Without effect for a driver that has no registry. */
export const registryCases: Record<string, (bench: Bench) => Promise<void>> = {
  ...Object.fromEntries(
    Object.entries({ ...factsCases, ...numbersCases }).map(([name, check]) => [
      `registry: ${name}`,
      async (bench: Bench) => {
        const [one, other] = [await bench.instance(), await bench.instance()];
        if (!one.driver.registry || !other.driver.registry) return;
        await check({
          scope: newScope(),
          registries: [persistent(one.driver.registry), persistent(other.driver.registry)],
          long: bench.longTtl,
          short: bench.shortTtl(one),
        });
      },
    ]),
  ),

  async 'registry: says that nothing was sent once the driver is closed'(bench) {
    const { driver, listener } = await bench.instance();
    const { registry } = driver;
    if (!registry) return;
    await driver.close(listener);
    const scope = newScope();
    const calls = [
      () => registry.put(scope, 'id', 'value', bench.longTtl),
      () => registry.remove(scope, 'id'),
      () => registry.list(scope),
      () => registry.advance(scope, 'id', 1, 'by', bench.longTtl),
    ];
    for (const call of calls) {
      await assert.rejects(call, (error) => error instanceof DriverUnavailableError && !error.sent);
    }
    assert.doesNotThrow(() => registry.watch(scope, () => undefined)(), 'to watch it is harmless');
  },
};

const ATTEMPTS = 3;

/** A call whose outcome is unknown is repeated: all of them bear that, and the store may just be slow. */
function persistent(registry: Registry): Registry {
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
    put: (...args) => repeat(() => registry.put(...args)),
    remove: (...args) => repeat(() => registry.remove(...args)),
    list: (...args) => repeat(() => registry.list(...args)),
    advance: (...args) => repeat(() => registry.advance(...args)),
    watch: (...args) => registry.watch(...args),
  };
}
