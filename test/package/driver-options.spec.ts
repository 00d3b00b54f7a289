import { LockConfigError } from 'nestjs-dist-lock';
import { EtcdDriver } from 'nestjs-dist-lock/etcd';
import { RedisDriver, RedlockDriver } from 'nestjs-dist-lock/redis';
import { describe, expect, it } from 'vitest';
import { timeouts } from '../../lib/drivers/redis/connection/clients.js';
import { ofCluster, ofRedis } from '../../lib/drivers/redis/connection/known-options.js';
import { read } from './repository.js';

interface Row {
  readonly names: readonly string[];
  readonly value: string;
}

const pageOf = (driver: string): string => read(`docs/drivers/${driver}.md`);

/** The options on a page of a driver, and their defaults: from the tables below its heading "Options". */
function optionsOf(page: string): Row[] {
  const [, section = ''] = /^## Options\n(.*?)^## /ms.exec(page) ?? [];
  return section
    .split('\n')
    .filter((line) => line.startsWith('| `'))
    .map((line) => {
      const [, names = '', value = ''] = line.split('|');
      return { names: [...names.matchAll(/`([^`]+)`/g)].map(([, name = '']) => name), value: value.trim() };
    });
}

const namesOf = (page: string): string[] => optionsOf(page).flatMap(({ names }) => names);

/** The options that a driver knows at one place: it lists them when it refuses another one. */
function known(create: (wrong: object) => unknown): string[] {
  try {
    create({ wrong: 1 });
  } catch (error) {
    if (!(error instanceof LockConfigError)) throw error;
    const [, names = ''] = /wrong: unknown option\. Known: ([\w, ]+)\./.exec(error.message) ?? [];
    return names.split(', ');
  }
  return [];
}

const path = (name: string, below: readonly string[]): string[] => below.map((each) => `${name}.${each}`);

function knownToEtcd(): string[] {
  const hosts = ['127.0.0.1:2379'];
  const login = { username: 'a', password: 'b' };
  return [
    ...known((wrong) => new EtcdDriver({ hosts, ...wrong })),
    ...path(
      'tls',
      known((wrong) => new EtcdDriver({ hosts, tls: { ...wrong } })),
    ),
    ...path(
      'auth',
      known((wrong) => new EtcdDriver({ hosts, auth: { ...login, ...wrong } })),
    ),
  ].sort();
}

/** All of ours have to be there, and of ioredis only what exists. */
function problemsOfRedis(page: string): string[] {
  const acks = known((wrong) => new RedisDriver({ host: 'x', replicas: { ...wrong } }));
  const ours = [...path('replicas', acks), 'failoverQuarantine'];
  const all = new Set([...ours, 'url', 'client', 'cluster', ...Object.keys(ofRedis), ...Object.keys(ofCluster)]);
  const names = namesOf(page);
  return [
    ...ours.filter((name) => !names.includes(name)).map((name) => `no ${name}`),
    ...names.filter((name) => !all.has(name)).map((name) => `unknown: ${name}`),
  ];
}

describe('the tables of options on the pages of the drivers', () => {
  it('list all that EtcdDriver knows', () => {
    expect(namesOf(pageOf('etcd')).sort()).toEqual(knownToEtcd());
  });

  it('list all that RedlockDriver knows', () => {
    expect(namesOf(pageOf('redlock'))).toEqual(known((wrong) => new RedlockDriver({ servers: [], ...wrong })));
  });

  it.each(['redis', 'redis-sentinel-cluster'])('%s: list what is ours, and what ioredis knows', (driver) => {
    expect(problemsOfRedis(pageOf(driver))).toEqual([]);
  });

  it('have the defaults of RedisDriver', () => {
    const rows = optionsOf(pageOf('redis'));
    const defaults = new Map(rows.map(({ names, value }) => [names[0], value.replaceAll('`', '')]));
    for (const [name, value] of Object.entries(timeouts({ host: 'x' }))) expect(defaults.get(name)).toBe(String(value));
  });

  it('control: a page with one option more, or one less, would be caught', () => {
    const page = pageOf('redis');
    const other = page.replace('| `failoverQuarantine` ', '| `failOverQuarantine` ');
    expect(problemsOfRedis(other)).toEqual(['no failoverQuarantine', 'unknown: failOverQuarantine']);
    expect(namesOf(pageOf('etcd').replace('| `tls.ca` ', '| `tls.cas` ')).sort()).not.toEqual(knownToEtcd());
  });
});
