import { describe, expect, it } from 'vitest';
import { PeerRecords } from '../../../lib/leader/peer-records.js';

const problems: string[] = [];
const own = { id: 'self', url: 'http://10.0.0.1:3000', metadata: {} };
const peers = new PeerRecords(own, (message) => problems.push(message));
const fact = {
  url: 'http://b:3000',
  metadata: { zone: 'x' },
  role: 'candidate',
  joinedAt: 5,
  priority: 2,
  process: 'p',
};
const leaderMetadata = { url: 'http://b:3000', joinedAt: '5', metadata: '{"zone":"x"}' };

describe('the record of a member', () => {
  it('tells who it is', () => {
    const member = { id: 'b', url: 'http://b:3000', metadata: { zone: 'x' }, role: 'candidate', joinedAt: 5 };
    expect(peers.candidacy('b', JSON.stringify(fact))).toEqual({ member, priority: 2, process: 'p' });
  });

  it.each<[why: string, id: string, text: string]>([
    ['is no JSON', 'b', '{'],
    ['is empty', 'b', ''],
    ['is null', 'b', 'null'],
    ['is a number', 'b', '5'],
    ['is a list', 'b', '[]'],
    ['has no role', 'b', JSON.stringify({ ...fact, role: undefined })],
    ['has a role that there is not', 'b', JSON.stringify({ ...fact, role: 'king' })],
    ['has a role that every object has', 'b', JSON.stringify({ ...fact, role: 'constructor' })],
    ['has no process', 'b', JSON.stringify({ ...fact, process: 5 })],
    ['is too long', 'b', JSON.stringify({ ...fact, metadata: { a: 'x'.repeat(20_000) } })],
    ['is nested too deep to read', 'b', '['.repeat(16_000)],
    ['has an id that no header can hold', 'b\r\nset-cookie: a=1', JSON.stringify(fact)],
    ['has an empty id', '', JSON.stringify(fact)],
    ['has a long id', 'b'.repeat(300), JSON.stringify(fact)],
  ])('is none when it %s', (_why, id, text) => {
    expect(peers.candidacy(id, text)).toBeUndefined();
  });

  it.each<[what: string, change: object, expected: object]>([
    ['metadata that are no texts', { metadata: { zone: 5 } }, { metadata: {} }],
    ['metadata that are a list', { metadata: ['a'] }, { metadata: { 0: 'a' } }],
    ['metadata that are null', { metadata: null }, { metadata: {} }],
    ['a time that is none', { joinedAt: 'soon' }, { joinedAt: 0 }],
    ['no time', { joinedAt: null }, { joinedAt: 0 }],
  ])('is read without %s', (_what, change, expected) => {
    expect(peers.candidacy('b', JSON.stringify({ ...fact, ...change }))?.member).toMatchObject(expected);
  });

  it('does not reach the prototype of objects', () => {
    const text = JSON.stringify(fact).replace('"zone"', '"__proto__":"y","zone"');
    const member = peers.candidacy('b', text)?.member;
    expect(Object.getPrototypeOf(member?.metadata)).toBe(Object.prototype);
    expect(({} as Record<string, unknown>)['zone']).toBeUndefined();
  });

  it.each([
    5,
    'javascript:alert(1)',
    'http://evil.example',
    'http://b:3000/\r\nx: y',
    'http://u:p@b:3000',
    'http://b:3001',
  ])('is read without the URL %s', (url) => {
    const found = peers.candidacy('b', JSON.stringify({ ...fact, url }));
    expect(found?.member).toEqual({ id: 'b', metadata: { zone: 'x' }, role: 'candidate', joinedAt: 5 });
  });

  it.each<[unknown, number]>([
    [undefined, 0],
    ['9', 0],
    [null, 0],
    [7, 7],
  ])('with the priority %s has %d', (priority, expected) => {
    expect(peers.candidacy('b', JSON.stringify({ ...fact, priority }))?.priority).toBe(expected);
  });
});

describe('the lease of a leader', () => {
  it('tells who it is', () => {
    expect(peers.leader({ instance: 'b', metadata: leaderMetadata })).toEqual({
      id: 'b',
      url: 'http://b:3000',
      metadata: { zone: 'x' },
      role: 'leader',
      joinedAt: 5,
    });
  });

  it.each(['{', '', 'null', '5', '[5]', '{"zone":5}'])('with the metadata %s is read without', (metadata) => {
    expect(peers.leader({ instance: 'b', metadata: { ...leaderMetadata, metadata } }).metadata).toEqual({});
  });

  it.each(['', ' ', 'b c', 'b\r\nset-cookie: a=1', 'b\u001b[2J', 'Zürich', 'b\ud800', 'x'.repeat(1000), '\u202egpj'])(
    'of %j names it so that it fits a header',
    (instance) => {
      expect(peers.leader({ instance, metadata: leaderMetadata }).id).toMatch(/^[\x21-\x7e]{1,255}$/);
    },
  );

  it.each([undefined, 'soon', '', 'Infinity'])('with the time %s is read with 0', (joinedAt) => {
    expect(peers.leader({ instance: 'b', metadata: { joinedAt: joinedAt! } }).joinedAt).toBe(0);
  });
});

describe('a URL that is not accepted', () => {
  it('is reported once, with the repair', () => {
    const told: string[] = [];
    const some = new PeerRecords(own, (message) => told.push(message));
    const metadata = { ...leaderMetadata, url: 'http://evil.example\u001b[2J' };
    for (let time = 0; time < 3; time++) some.leader({ instance: 'b', metadata });
    expect(told).toHaveLength(1);
    expect(told[0]).toContain(
      'Instance b registered the URL "http://evil.example\\u{1b}[2J", which this instance does not',
    );
    expect(told[0]).toContain('list the others in `instance.allowedUrls`');
  });

  it('is not reported for ever: whoever forges them would fill the log', () => {
    const told: string[] = [];
    const some = new PeerRecords(own, (message) => told.push(message));
    for (let n = 0; n < 1000; n++)
      some.leader({ instance: 'b', metadata: { ...leaderMetadata, url: `http://evil-${n}` } });
    expect(told).toHaveLength(100);
  });
});
