import { describe, expect, it } from 'vitest';
import { DriverUnavailableError } from '../../../../lib/core/errors.js';
import type { ScriptCall } from '../../../../lib/drivers/redis/commands/script-call.js';
import { ClaimState, Renewal, Round } from '../../../../lib/drivers/redlock/rounds.js';
import type { Server } from '../../../../lib/drivers/redlock/server.js';

const HELD = [1000, 'other 7 1 1700000000123456 {"instance":"i","metadata":{}}'];
const down = (sent: boolean): Error => new DriverUnavailableError('down', { sent });

type Step = 'round' | 'renewal' | readonly [request: number, answer: unknown];

/** What is known of a server after requests to it, and answers to them: the first request is number 0. */
async function after(steps: readonly Step[]): Promise<{ open: boolean; late: boolean }> {
  const state = new ClaimState({ key: 'test:l:k', holder: 'h', ttl: 1000, instance: 'i', metadata: {} });
  const answer: ((answer: unknown) => void)[] = [];
  const send = (): Promise<unknown> =>
    new Promise((resolve, reject) => {
      answer.push((reply) => (reply instanceof Error ? reject(reply) : resolve(reply)));
    });
  const server = { bit: 4, isLate: false, send } as unknown as Server;
  for (const step of steps) {
    if (step === 'round') {
      new Round(state, 'try', 1, { fencingToken: 7, tokens: 64 }).ask(server).catch(() => undefined);
    } else if (step === 'renewal') {
      new Renewal([state], {} as ScriptCall).ask(server).catch(() => undefined);
    } else {
      answer[step[0]]!(step[1]);
      await new Promise(setImmediate);
    }
  }
  return { open: state.open === 4, late: state.late === 4 };
}

/** May have given its vote. */
const OPEN = { open: true, late: false };
/** May do so yet. */
const LATE = { open: true, late: true };
const CLOSED = { open: false, late: false };

describe('a server', () => {
  it.each<[string, Step[], typeof OPEN]>([
    ['that has not answered', ['round'], LATE],
    ['that voted', ['round', [0, 1]], OPEN],
    ['that refused', ['round', [0, HELD]], CLOSED],
    ['that could not be sent the request', ['round', [0, down(false)]], CLOSED],
    ['that failed', ['round', [0, down(true)]], LATE],
    ['that failed, and refuses now', ['round', [0, down(true)], 'round', [1, HELD]], LATE],
    ['that failed, and cannot be reached now', ['round', [0, down(true)], 'round', [1, down(false)]], LATE],
    ['that refused a round after the next one was sent, and votes', ['round', 'round', [0, HELD], [1, 1]], LATE],
    ['that answered the last request only', ['round', 'round', [1, 1]], LATE],
    ['that has not answered a renewal', ['round', [0, 1], 'renewal'], LATE],
    ['that renewed', ['round', [0, 1], 'renewal', [1, [0]]], OPEN],
    ['that failed to renew', ['round', [0, 1], 'renewal', [1, down(true)]], LATE],
  ])('%s', async (_, steps, expected) => {
    expect(await after(steps)).toEqual(expected);
  });
});
