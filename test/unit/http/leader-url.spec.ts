import { describe, expect, it } from 'vitest';
import { leaderTarget } from '../../../lib/http/leader-url.js';

function location(leaderUrl: string | undefined, requestUrl: string): string | undefined {
  const target = leaderTarget(leaderUrl, requestUrl);
  return target ? target.base.origin + target.path : undefined;
}

describe('where the leader receives a request', () => {
  it.each([
    ['http://10.0.0.1:3000', '/reports?day=1&x=%2F', 'http://10.0.0.1:3000/reports?day=1&x=%2F'],
    ['http://10.0.0.1:3000/', '/reports', 'http://10.0.0.1:3000/reports'],
    ['https://host/replica-1/', '/reports', 'https://host/replica-1/reports'],
    ['https://host/replica-1?x#y', '/reports', 'https://host/replica-1/reports'],
    ['http://[::1]:3000', '/', 'http://[::1]:3000/'],
    // Credentials are for nobody's eyes.
    ['http://user:secret@host', '/a', 'http://host/a'],
  ])('%s and %s', (leader, request, expected) => {
    expect(location(leader, request)).toBe(expected);
  });

  it.each([
    '//evil.example/x',
    '///evil.example',
    '/\\evil.example',
    '\\\\evil.example',
    'http://evil.example/x',
    'https:evil.example',
    'javascript:alert(1)',
    'data:text/html,x',
    '@evil.example/',
    ':80@evil.example/',
    '.evil.example/',
    '/../../evil',
    '*',
    '',
  ])('is the leader, whatever the request says: %s', (request) => {
    const where = location('http://leader:3000', request)!;
    expect(new URL(where).origin).toBe('http://leader:3000');
  });

  it('names the path as it was written: tidied up it could be another route', () => {
    expect(location('http://leader', '/files/%2e%2e/../admin//x')).toBe('http://leader/files/%2e%2e/../admin//x');
  });

  it.each([[undefined], ['leader:3000'], ['/leader'], ['ftp://leader'], ['javascript:alert(1)'], ['not a url']])(
    'is unknown where the leader registered %s',
    (leader) => {
      expect(location(leader, '/a')).toBeUndefined();
    },
  );

  it('control: resolving what was asked for against the address leads elsewhere', () => {
    expect(new URL('//evil.example/x', 'http://leader:3000').origin).toBe('http://evil.example');
    expect(new URL(['http://leader', '.evil.example/'].join('')).origin).toBe('http://leader.evil.example');
  });
});
