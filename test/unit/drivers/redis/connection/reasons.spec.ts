import { describe, expect, it } from 'vitest';
import { isVague, reasonOf } from '../../../../../lib/drivers/redis/connection/reasons.js';

const refused = (at: string): Error => Object.assign(new Error(`connect ECONNREFUSED ${at}`), { code: 'ECONNREFUSED' });
const closed = (): Error => new Error('Connection is closed.');
const inCircles = (): Error => {
  const error = closed();
  error.cause = error;
  return error;
};

describe('the reason of a failure', () => {
  it.each<[string, unknown, string | undefined]>([
    ['is its message', refused('h:1'), 'connect ECONNREFUSED h:1'],
    [
      'is in all attempts of a name',
      new AggregateError([refused('::1:1'), refused('h:1')]),
      'connect ECONNREFUSED ::1:1, connect ECONNREFUSED h:1',
    ],
    ['is said once', new AggregateError([refused('h:1'), refused('h:1')]), 'connect ECONNREFUSED h:1'],
    [
      'is in attempts within attempts',
      new AggregateError([new AggregateError([refused('h:1')])]),
      'connect ECONNREFUSED h:1',
    ],
    ['is a code at least', Object.assign(new AggregateError([]), { code: 'ECONNREFUSED' }), 'ECONNREFUSED'],
    [
      'is in the last error of a node',
      Object.assign(new Error('Failed to refresh slots cache.'), { lastNodeError: refused('h:1') }),
      'connect ECONNREFUSED h:1',
    ],
    [
      'is in the cause',
      new Error('None of startup nodes is available', { cause: refused('h:1') }),
      'connect ECONNREFUSED h:1',
    ],
    [
      'is in the cause of a cause',
      new Error('', { cause: new Error('', { cause: refused('h:1') }) }),
      'connect ECONNREFUSED h:1',
    ],
    ['is what was thrown', 'a text', 'a text'],
    ['is not told by a closed connection', closed(), undefined],
    ['is not told by errors in circles', inCircles(), undefined],
    ['is not told by nothing', undefined, undefined],
    ['is not told by an empty error', new Error(''), undefined],
  ])('%s', (_, error, text) => {
    expect(reasonOf(error)?.message).toBe(text);
  });

  it('holds no command, which may be a login', () => {
    const cause = Object.assign(new Error('WRONGPASS'), { command: { name: 'auth', args: ['secret'] } });
    const reason = reasonOf(new AggregateError([new Error('None of startup nodes', { cause })]));
    expect(reason!.message).toBe('WRONGPASS');
    expect(cause).not.toHaveProperty('command');
  });
});

it.each([
  [undefined, true],
  ['read ECONNRESET', true],
  ['write EPIPE', true],
  ['connect ETIMEDOUT', true],
  ['Command timed out', true],
  ['Protocol error, got "\u0015" as reply type byte', true],
  ['connect ECONNREFUSED 127.0.0.1:1', false],
  ['getaddrinfo ENOTFOUND h', false],
  ['WRONGPASS invalid username-password pair', false],
  ['self-signed certificate', false],
])('%s is worth asking the server: %s', (text, vague) => {
  expect(isVague(text === undefined ? undefined : new Error(text))).toBe(vague);
});
