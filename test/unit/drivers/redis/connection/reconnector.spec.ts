import { expect, it } from 'vitest';
import { SystemClock, systemRandom } from '../../../../../lib/core/clock.js';
import { Reconnector } from '../../../../../lib/drivers/redis/connection/reconnector.js';

it('connections that end as soon as they are opened are opened ever more rarely', async () => {
  const start = performance.now();
  await new Promise<void>((resolve) => {
    let attempts = 0;
    const reconnector = new Reconnector({
      clock: new SystemClock(),
      random: systemRandom,
      attempt() {
        if (++attempts === 7) {
          reconnector.close();
          resolve();
        }
        setImmediate(() => {
          reconnector.opened();
          reconnector.ended();
        });
      },
      diagnose: async () => undefined,
      up: () => undefined,
      down: () => undefined,
    });
    void reconnector.start(1000);
  });
  // 100 ms, 200, 400, 800, 1000 and 1000, or half of that.
  expect(performance.now() - start).toBeGreaterThan(1700);
});
