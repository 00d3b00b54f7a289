import type { OptionsCheck } from '../../../core/options-check.js';
import { type Kind, ofCluster, ofRedis } from './known-options.js';

/** The names of options in other clients. */
const ALIASES: Readonly<Record<string, string>> = {
  uri: 'url',
  URL: 'url',
  connectionString: 'url',
  hostname: 'host',
  address: 'host',
  socket: 'host',
  user: 'username',
  pass: 'password',
  auth: 'password',
  database: 'db',
  ssl: 'tls',
  redis: 'client',
  connection: 'client',
  nodes: 'cluster',
  rootNodes: 'cluster',
  hosts: 'cluster',
  servers: 'cluster',
  master: 'name',
  masterName: 'name',
  sentinel: 'sentinels',
  timeout: 'commandTimeout',
};

const EXPECTED: Readonly<Record<Kind, readonly [text: string, fits: (value: unknown) => boolean]>> = {
  anything: ['anything', () => true],
  boolean: ['true or false', (value) => typeof value === 'boolean'],
  count: ['a whole number', isCount],
  // An environment variable gives both as text, which ioredis accepts.
  database: ['the number of a database', (value) => isCount(numberIn(value))],
  port: ['a port, from 1 to 65535', (value) => isCount(numberIn(value)) && isIn(numberIn(value), 1, 65_535)],
  function: ['a function', (value) => typeof value === 'function'],
  list: ['a list', Array.isArray],
  login: ['a text, or a function that gives one', (value) => ['string', 'function'].includes(typeof value)],
  milliseconds: ['milliseconds, above 0', (value) => typeof value === 'number' && value > 0 && value < 2 ** 31],
  object: ['an object', isObject],
  text: ['a text', (value) => typeof value === 'string'],
  tls: [
    'TLS options such as { ca }, or a function that gives them',
    (value) => typeof value === 'boolean' || typeof value === 'function' || isObject(value),
  ],
};

/** Reports options that nobody reads, and values that ioredis would ignore or misread. */
export function checkRedisOptions(options: object, check: OptionsCheck, own: readonly string[], path = ''): void {
  checkKnown(options, ofRedis, check, own, path);
}

export function checkClusterOptions(options: object, check: OptionsCheck, own: readonly string[]): void {
  checkKnown(options, ofCluster, check, own, '');
}

function checkKnown(
  options: object,
  known: Readonly<Record<string, Kind>>,
  check: OptionsCheck,
  own: readonly string[],
  path: string,
): void {
  for (const [name, value] of Object.entries(options)) {
    if (own.includes(name)) continue;
    const kind = Object.hasOwn(known, name) ? known[name]! : undefined;
    if (kind === undefined) {
      check.problem(`${path}${name}: unknown option.${hint(name, [...own, ...Object.keys(known)])}`);
    } else if (value !== undefined && value !== null && !EXPECTED[kind][1](value)) {
      check.problem(`${path}${name}: expected ${EXPECTED[kind][0]}.`);
    }
  }
}

function hint(name: string, known: readonly string[]): string {
  const alias = Object.hasOwn(ALIASES, name) ? ALIASES[name]! : undefined;
  const meant = alias !== undefined && known.includes(alias) ? alias : nearest(name, known);
  return meant === undefined ? '' : ` Did you mean \`${meant}\`?`;
}

function nearest(name: string, known: readonly string[]): string | undefined {
  const text = name.slice(0, 40).toLowerCase();
  const distances = known.map((candidate) => ({ candidate, distance: distance(text, candidate.toLowerCase()) }));
  const [best] = distances.sort((a, b) => a.distance - b.distance);
  return best && best.distance <= Math.max(1, Math.floor(text.length / 4)) ? best.candidate : undefined;
}

/** Levenshtein's distance; letters in another order count as one mistake. */
function distance(from: string, to: string): number {
  if (from !== to && lettersOf(from) === lettersOf(to)) return 1;
  let row = Array.from({ length: to.length + 1 }, (_, index) => index);
  for (let i = 1; i <= from.length; i++) {
    const next = [i];
    for (let j = 1; j <= to.length; j++) {
      const replaced = row[j - 1]! + (from[i - 1] === to[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, row[j]! + 1, next[j - 1]! + 1));
    }
    row = next;
  }
  return row[to.length]!;
}

function lettersOf(text: string): string {
  return text.split('').sort().join('');
}

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isIn(value: unknown, least: number, most: number): boolean {
  return typeof value === 'number' && value >= least && value <= most;
}

function numberIn(value: unknown): unknown {
  return typeof value === 'string' && /^\d{1,9}$/.test(value) ? Number(value) : value;
}
