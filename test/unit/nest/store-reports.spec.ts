import { describe, expect, it } from 'vitest';
import { StoreReports } from '../../../lib/nest/store-reports.js';
import { ManualClock } from '../../../lib/testing/manual-clock.js';
import { RecordingLogger } from '../../support/nest/log.js';

type Step = 'up' | 'down' | 'start failed' | number;

async function lines(...steps: Step[]): Promise<string[]> {
  const [logger, clock] = [new RecordingLogger(), new ManualClock()];
  const reports = new StoreReports(logger, clock);
  for (const step of steps) {
    if (typeof step === 'number') await clock.advance(step);
    else if (step === 'start failed') reports.startFailed(new Error('Why.'));
    else reports.heard(step === 'up' ? { type: 'up' } : { type: 'down', cause: new Error('Why.') });
  }
  return logger.lines.map(({ level, text }) => `${level}: ${text}`);
}

const [REACHABLE, DOWN] = ['log: The lock store is reachable.', 'error: The lock store is unreachable. Why.'];
const STARTED_DOWN = 'error: The lock store is unreachable; trying again until it answers. Why.';
const again = (seconds: string): string => `log: The lock store is reachable again after ${seconds} s.`;

describe('what is logged of a store', () => {
  it.each<[string, Step[], string[]]>([
    ['a start', ['up'], [REACHABLE]],
    ['connections that are replaced', ['up', 'up', 5000, 'up'], [REACHABLE]],
    ['an outage', ['up', 'down', 4200, 'up'], [REACHABLE, DOWN, again('4.2')]],
    ['an outage that is told twice', ['up', 'down', 'down', 1000, 'up', 'up'], [REACHABLE, DOWN, again('1.0')]],
    [
      'two outages',
      ['up', 'down', 100, 'up', 'down', 90_000, 'up'],
      [REACHABLE, DOWN, again('0.1'), DOWN, again('90.0')],
    ],
    ['a start that fails', ['start failed', 2500, 'up'], [STARTED_DOWN, again('2.5')]],
    ['a start that fails, and is told as an outage too', ['down', 'start failed', 1000, 'up'], [DOWN, again('1.0')]],
  ])('%s', async (_, steps, expected) => {
    expect(await lines(...steps)).toEqual(expected);
  });
});
