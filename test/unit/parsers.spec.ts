import type { IncomingMessage } from 'node:http';
import { describe, expect, it } from 'vitest';
import { toMilliseconds } from '../../lib/core/duration.js';
import { OptionsCheck } from '../../lib/core/options-check.js';
import { printable } from '../../lib/core/printable.js';
import { lockStoreKey } from '../../lib/core/store-key.js';
import { lockKey } from '../../lib/decorators/lock-key.js';
import { classify as classifyEtcd } from '../../lib/drivers/etcd/client/call-errors.js';
import { readOptions } from '../../lib/drivers/etcd/options.js';
import { parseInfo } from '../../lib/drivers/redis/checks/server-info.js';
import { classify } from '../../lib/drivers/redis/commands/reply-errors.js';
import { checkUrl } from '../../lib/drivers/redis/connection/redis-url.js';
import { redirectOf } from '../../lib/drivers/redis/connection/slots.js';
import { recordOf, toEvent } from '../../lib/drivers/redis/lease-format.js';
import { endToEnd } from '../../lib/http/leader-forward.js';
import { forwardedBody } from '../../lib/http/forwarded-body.js';
import { leaderTarget } from '../../lib/http/leader-url.js';
import { acceptedUrls, originPattern } from '../../lib/leader/accepted-urls.js';
import { PeerRecords } from '../../lib/leader/peer-records.js';

const peers = new PeerRecords({ id: 'a', url: 'http://a', metadata: {} }, () => undefined);
const accepts = acceptedUrls('http://a', [originPattern('http://*.b:*')!]);

/** Everything that reads a text from outside: from a client, from the store, or from who writes the options. */
const PARSERS: Record<string, (text: string) => unknown> = {
  'a header Connection': (text) => endToEnd({ headersDistinct: { connection: [text], accept: ['*'] } }),
  'a content type': (text) => {
    const headers = { 'content-length': '1', 'content-type': `application/json;${text}` };
    const incoming = { headers, httpVersionMajor: 1, readableDidRead: true, readableEnded: true };
    return forwardedBody(incoming as unknown as IncomingMessage, { body: {} }, {});
  },
  'the target of a request': (text) => leaderTarget('http://a', text),
  'the URL of a leader': (text) => leaderTarget(`http://a/${text}`, '/'),
  'a URL to accept': (text) => accepts(`http://a${text}`),
  'an entry of allowedUrls': (text) => originPattern(`http://a${text}`),
  'the record of a member': (text) => peers.candidacy(text, text),
  'the metadata of a leader': (text) => peers.leader({ instance: text, metadata: { url: text, metadata: text } }),
  'a message of Redis': (text) => [text, `granted ${text}`, `contended {${text}`].map(toEvent),
  'a lease on Redis': (text) => recordOf(1, `h 1 ${text}`, 0),
  'an error of Redis': (text) => classify(new Error(text), 'a'),
  'a redirection of Redis': (text) =>
    [text, `MOVED ${text}`, `ASK 1 ${text}`].map((reply) => redirectOf(new Error(reply))),
  'the answer to INFO': (text) => parseInfo(text),
  'the URL of Redis': (text) => checkUrl(`redis://${text}`, new OptionsCheck('test')),
  'an error of etcd': (text) =>
    [text, `${text}Resolution note: `].map((details) => classifyEtcd(new Error(details), 'a')),
  'a host of etcd': (text) => readOptions({ hosts: [text] }),
  'a duration': (text) => [text, `1${text}`].map((value) => toMilliseconds(value, 'ttl')),
  'a key': (text) => lockStoreKey('a', text),
  'a part of a key': (text) => lockKey`a:${text}`,
  'a line of a log': (text) => printable(text),
};

const SHORT = [
  ' ',
  '\t',
  '/',
  ',',
  ', ',
  ' ,',
  ';',
  'charset',
  'charset ',
  '=',
  '(',
  '(1',
  ')',
  '). ',
  '{',
  '}',
  '{{',
  ':',
  '@',
];
SHORT.push('.', '-', '0', '1', 'a', 'a ', 'a:', '\n', '\r\n', '\\', '"', '[', '%', '*', 'Resolution note:', '\u001b');
const LONG = [' ', '/', ',', '; ', '=', '(1', '{', '@', '.', '0', 'a', '\n', '%', '\u001b'];

describe.each([
  [16_384, SHORT],
  [1_048_576, LONG],
])('of %d characters', (length, patterns) => {
  it.each(Object.entries(PARSERS))('%s is read in time that grows with its length', (_what, parse) => {
    const slow: string[] = [];
    for (const pattern of patterns) {
      // With an end that fits nothing, so that whatever matched has to be given up.
      const text = `${pattern.repeat(Math.ceil(length / pattern.length)).slice(0, length)}\u0001`;
      const before = process.cpuUsage();
      try {
        parse(text);
      } catch {
        // Refused, which is fine.
      }
      if (process.cpuUsage(before).user > 1_000_000) slow.push(pattern);
    }
    expect(slow).toEqual([]);
  });
});

it('control: a list that is split at commas with spaces around them is read in quadratic time', () => {
  const before = process.cpuUsage();
  ' '.repeat(40_000).split(/\s*,\s*/);
  // 25 times as much text would take 600 times as long.
  expect(process.cpuUsage(before).user).toBeGreaterThan(100_000);
});
