import { describe, expect, it } from 'vitest';
import { acceptedUrls, originPattern } from '../../../lib/leader/accepted-urls.js';

function accepts(own: string | undefined, listed: string[], url: string): boolean {
  return acceptedUrls(
    own,
    listed.map((text) => originPattern(text)!),
  )(url);
}

describe('a URL that the leader registered is accepted', () => {
  it.each<[own: string | undefined, listed: string[], url: string]>([
    ['http://10.0.0.1:3000', [], 'http://10.0.0.2:3000'],
    ['http://10.0.0.1:3000/a', [], 'http://10.0.0.2:3000/b'],
    ['https://a', [], 'https://b:443'],
    ['http://a', [], 'http://[::1]:80/'],
    [undefined, ['http://localhost:*'], 'http://localhost:4711/x'],
    [undefined, ['http://localhost:*'], 'http://LOCALHOST'],
    [undefined, ['https://*.example.com'], 'https://a.b.example.com'],
    [undefined, ['https://*.example.com:8443'], 'https://a.example.com:8443'],
    [undefined, ['http://[::1]:3000/'], 'http://[::1]:3000'],
    ['http://a:1', ['http://b:2'], 'http://b:2'],
  ])('own %s, listed %j: %s', (own, listed, url) => {
    expect(accepts(own, listed, url)).toBe(true);
  });
});

describe('a URL that the leader registered is refused', () => {
  it.each<[own: string | undefined, listed: string[], url: string]>([
    [undefined, [], 'http://10.0.0.2:3000'],
    ['http://a:3000', [], 'https://b:3000'],
    ['http://a:3000', [], 'http://b:3001'],
    ['http://a:3000', [], 'http://b'],
    ['http://a:3000', [], 'http://u@b:3000'],
    ['http://a:3000', [], 'http://u:p@b:3000'],
    ['http://a:3000', [], 'ftp://b:3000'],
    ['http://a:3000', [], 'javascript:alert(1)'],
    ['http://a:3000', [], 'b:3000'],
    ['http://a:3000', [], ''],
    ['not a url', [], 'http://b'],
    ['ftp://a:3000', [], 'ftp://b:3000'],
    [undefined, ['http://localhost:*'], 'http://localhost.evil.example'],
    [undefined, ['http://localhost:*'], 'https://localhost'],
    [undefined, ['http://a'], 'http://a:8080'],
    [undefined, ['https://*.example.com'], 'https://example.com'],
    [undefined, ['https://*.example.com'], 'https://evilexample.com'],
    [undefined, ['https://*.example.com'], 'https://a.example.com.evil.example'],
    [undefined, ['https://*.example.com'], 'https://a.example.com:8443'],
  ])('own %s, listed %j: %s', (own, listed, url) => {
    expect(accepts(own, listed, url)).toBe(false);
  });
});
