import { inspect } from 'node:util';
import { Cluster, Redis } from 'ioredis';
import { LockConfigError } from 'nestjs-dist-lock';
import { RedisDriver, RedlockDriver } from 'nestjs-dist-lock/redis';
import { afterAll, describe, expect, it } from 'vitest';

function refusal(create: () => unknown): string {
  try {
    create();
  } catch (error) {
    expect(error).toBeInstanceOf(LockConfigError);
    return (error as Error).message;
  }
  return expect.fail('accepted');
}

/** As a JavaScript file would call it. */
const redis = (options: unknown): string => refusal(() => new RedisDriver(options as never));
const redlock = (options: unknown): string => refusal(() => new RedlockDriver(options as never));

const client = new Redis('redis://localhost:1', { lazyConnect: true });
const cluster = new Cluster([{ host: 'localhost', port: 1 }], { lazyConnect: true });
afterAll(() => {
  client.disconnect();
  cluster.disconnect();
});

/** What the package "redis" makes: it can be duplicated, too. */
const nodeRedis = Object.assign(Object.create({ duplicate: () => ({}), sendCommand: () => undefined }), {
  isOpen: false,
  options: { url: 'redis://localhost' },
});

const NOTHING = /nothing says where the server is\. Pass \{ url: 'redis:\/\/localhost:6379' \}/;
const url = 'redis://localhost:1';

describe('RedisDriver refuses options that nobody would read', () => {
  it.each<[string, unknown, RegExp]>([
    ['none', undefined, /expected an object with options\. Pass \{ url/],
    ['null', null, /expected an object with options\. Pass \{ url/],
    ['a list', ['redis://localhost'], /expected an object with options/],
    ['a number', 6379, /expected an object with options/],
    ['a URL', 'redis://:top-secret@localhost', /a string is not an options object\. Pass \{ url \}/],
    ['a client', client, /a client is not an options object\. Pass \{ client \}/],
    ['a cluster client', cluster, /a client is not an options object\. Pass \{ client \}/],
    ['an empty object', {}, NOTHING],
    ['an undefined host', { host: undefined }, NOTHING],
    ['a password alone', { password: 'top-secret' }, NOTHING],
    ['the name of another package', { uri: url }, /uri: unknown option\. Did you mean `url`\?.*nothing says/],
    ['a typo of the place', { hots: 'localhost' }, /hots: unknown option\. Did you mean `host`\?/],
    ['a typo', { url, commandTimout: 5 }, /commandTimout: unknown option\. Did you mean `commandTimeout`\?/],
    ['another typo', { url, userName: 'x' }, /userName: unknown option\. Did you mean `username`\?/],
    ['an option of nobody', { url, quux: 1 }, /quux: unknown option\.$/],
    ['one of Object.prototype', { url, constructor: 1 }, /constructor: unknown option\./],
    ['a typo in redisOptions', { cluster: [1], redisOptions: { pasword: 'x' } }, /redisOptions\.pasword: .*`password`/],
    [
      'a typo beside cluster',
      { cluster: [1], scaleRead: 'all' },
      /scaleRead: unknown option\. Did you mean `scaleReads`/,
    ],
    ['two places', { client, host: 'localhost' }, /`client` and `host` exclude each other/],
    ['a URL and a client', { url, client }, /`url` and `client` exclude each other/],
    ['a URL and a host', { url, host: 'other' }, /`url` and `host` exclude each other/],
    ['a cluster and a client', { client, cluster: [1] }, /`client` and `cluster` exclude each other/],
    ['an option beside a client', { client, commandTimeout: 1 }, /`commandTimeout` has no effect beside `client`/],
    ['a password twice', { url: 'redis://:a@localhost', password: 'b' }, /`password`: the URL has this option, too/],
    ['a database twice', { url: 'redis://localhost/1', db: 2 }, /`db`: the URL has this option, too/],
    ['no client', { client: null }, /`client` must be an ioredis `Redis` instance/],
    ['a client of node-redis', { client: nodeRedis }, /it is one of the package "redis"\. Pass \{ url \} instead/],
    ['something else', { client: { duplicate: 1 } }, /`client` must be an ioredis `Redis` instance/],
    ['a cluster that is a text', { cluster: 'localhost:6379' }, /`cluster` must be a list of nodes/],
    ['a node without a port', { cluster: [{ host: 'a', port: 'b' }] }, /`cluster` must be a list of nodes/],
    ['sentinels as texts', { sentinels: ['a:1'], name: 'm' }, /`sentinels` must be a list such as/],
    [
      'TLS that is denied',
      { sentinels: [{ port: 1 }], name: 'm', tls: {}, enableTLSForSentinelMode: false },
      /leave out one/,
    ],
    ['TLS without options', { sentinels: [{ port: 1 }], name: 'm', enableTLSForSentinelMode: true }, /needs `tls`/],
    ['a URL that is an object', { url: new URL('redis://localhost') }, /`url` must look like .* it is something else/],
  ])('%s', (_, options, message) => {
    const text = redis(options);
    expect(text).toMatch(/^RedisDriver: /);
    expect(text).toMatch(message);
    expect(text).not.toContain('top-secret');
  });

  it.each<[string, unknown, string]>([
    ['port', 'abc', 'port: expected a port, from 1 to 65535.'],
    ['port', 70_000, 'port: expected a port, from 1 to 65535.'],
    ['port', 1.5, 'port: expected a port, from 1 to 65535.'],
    ['host', 5, 'host: expected a text.'],
    ['db', 'abc', 'db: expected the number of a database.'],
    ['db', -1, 'db: expected the number of a database.'],
    ['password', 5, 'password: expected a text, or a function that gives one.'],
    ['username', {}, 'username: expected a text, or a function that gives one.'],
    ['tls', 'yes', 'tls: expected TLS options such as { ca }, or a function that gives them.'],
    ['commandTimeout', '1000', 'commandTimeout: expected milliseconds, above 0.'],
    ['connectTimeout', 0, 'connectTimeout: expected milliseconds, above 0.'],
    ['socketTimeout', Number.NaN, 'socketTimeout: expected milliseconds, above 0.'],
    ['enableReadyCheck', 'no', 'enableReadyCheck: expected true or false.'],
    ['retryStrategy', 100, 'retryStrategy: expected a function.'],
  ])('of a wrong type: %s: %j', (name, value, message) => {
    expect(redis({ host: 'localhost', [name]: value })).toContain(message);
  });

  it('all in one error', () => {
    const text = redis({ port: 'abc', commandTimout: 1, db: -1, replicas: { ack: 'none' } });
    for (const part of ['port:', 'commandTimout:', 'db:', 'replicas.ack:']) expect(text).toContain(part);
  });
});

describe('a URL', () => {
  it.each([
    ['redis://:p@ss/word@host', /`url` is malformed/],
    ['redis://:pass?word@host', /`url` is malformed/],
    ['redis://user:12#word@host', /`url` is malformed/],
    ['redis://user:12?word@host', /`url` is malformed/],
    ['redis://user:12/word%40host', /`url` is malformed/],
    ['redis://host/word', /must be the number of a database/],
    ['redis://host/1/2', /must be the number of a database/],
    ['redis://host/-1', /must be the number of a database/],
    ['redis://host?db=word', /db must be a number/],
    ['redis://host?word=1', /carries an option that is unknown/],
    ['redis://host?tls=word', /cannot carry the option tls/],
    ['/', /names no socket/],
    ['//word', /must look like/],
    ['word', /must look like/],
    ['', /must look like/],
  ])('%s is refused, and not repeated', (bad, message) => {
    const text = redis({ url: bad });
    expect(text).toMatch(message);
    expect(text.replace('user name or password', '').replace('(password)', '')).not.toMatch(/word(?! })|p@ss|pass\?/);
  });

  it.each([
    'redis://localhost',
    'redis://localhost:6379/',
    'rediss://user:p%40ss@localhost:6379/15',
    'redis://:p@ss@localhost',
    'redis://[::1]:6379?family=6',
    'REDIS://localhost',
    '/var/run/redis.sock',
    '/var/run/redis.sock?db=2',
  ])('%s is accepted', (good) => {
    expect(() => new RedisDriver({ url: good })).not.toThrow();
  });
});

it.each<[string, unknown]>([
  ['a host', { host: 'localhost' }],
  ['a port', { port: 6379 }],
  ['a port from the environment', { port: '6379', db: '1' }],
  ['a socket', { path: '/var/run/redis.sock' }],
  [
    'nulls, which ioredis has for "none"',
    { host: 'localhost', username: null, password: null, maxRetriesPerRequest: null },
  ],
  ['functions for logins', { url, username: () => 'a', password: async () => 'b', tls: () => ({}) }],
  ['functions on a cluster', { cluster: [{ host: 'a', port: 1 }], redisOptions: { password: () => 'b' } }],
  ['functions by Sentinel', { sentinels: [{ host: 'a', port: 1 }], name: 'm', sentinelPassword: () => 'b', tls: {} }],
  ['all that a client of ioredis has', { ...client.options, keyPrefix: undefined, url: undefined, host: 'localhost' }],
])('RedisDriver accepts %s', (_, options) => {
  const { url: none, ...rest } = options as { url?: string };
  expect(() => new RedisDriver((none ? options : rest) as never)).not.toThrow();
});

describe('RedlockDriver refuses', () => {
  const one = 'redis://a';
  it.each<[string, unknown, RegExp]>([
    ['nothing', undefined, /expected an object: \{ servers: an array of URLs/],
    ['a list', [one, 'redis://b', 'redis://c'], /expected an object: \{ servers/],
    ['a URL', one, /expected an object: \{ servers/],
    ['no servers', {}, /`servers` must be an array of URLs/],
    ['another name', { nodes: [one] }, /nodes: unknown option\. Known: servers\..*`servers` must be an array/],
    ['a text', { servers: one }, /`servers` must be an array of URLs/],
    ['two', { servers: [one, 'redis://b'] }, /there are 2\. For one server use RedisDriver/],
    ['the same twice', { servers: [one, one, 'redis://b'] }, /a:6379 is listed twice: its vote would count twice/],
    ['the same in other words', { servers: [one, { host: 'a' }, 'redis://b'] }, /a:6379 is listed twice/],
    ['a cluster', { servers: [one, 'redis://b', { cluster: [1] }] }, /servers\[2\]: a cluster is no single server/],
    ['a typo', { servers: [one, { host: 'b', prot: 1 }, 'redis://c'] }, /servers\[1\]: prot: unknown option\..*`port`/],
    [
      'several, in one error',
      { servers: [{ host: 'a', prot: 1 }, 'b', {}] },
      /servers\[0\]: prot.* servers\[1\]: `url` must.* servers\[2\]: nothing says/,
    ],
  ])('%s', (_, options, message) => {
    expect(redlock(options)).toMatch(message);
  });
});

it('an error shows no password however one looks at it', () => {
  const create = (): unknown => new RedisDriver({ url: 'redis://:top@sec/ret@host' });
  expect(create).toThrow(LockConfigError);
  try {
    create();
  } catch (error) {
    expect(inspect(error, { depth: 10, showHidden: true })).not.toMatch(/sec\/ret|top@/);
  }
});
