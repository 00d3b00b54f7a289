import type { OptionsCheck } from '../../../core/options-check.js';
import { REDIS_OPTIONS } from './known-options.js';

/** The options that a query may have. ioredis takes any option there, as text, and prefers it to those that we enforce. */
const IN_QUERY: ReadonlySet<string> = new Set(['db', 'family']);

const MALFORMED =
  '`url` is malformed. Characters like / # ? % @ in its user name or password must be encoded: ' +
  'encodeURIComponent(password). Or pass { host, port, username, password }.';

const DATABASE = '`url`: what follows the host must be the number of a database, as in redis://localhost:6379/0.';

/**
 * Reports the problems of a URL, without any part of it that may hold a password.
 *
 * @returns the names of the options that the URL has
 */
export function checkUrl(url: unknown, check: OptionsCheck): string[] {
  if (typeof url !== 'string' || !/^(rediss?:\/\/|\/(?!\/))/i.test(url)) {
    const what = url === undefined ? 'undefined. Is the environment variable set?' : 'something else.';
    check.problem(`\`url\` must look like 'redis://localhost:6379'; it is ${what}`);
    return [];
  }
  try {
    return url.startsWith('/') ? checkSocket(url, check) : checkServer(new URL(url), check);
  } catch {
    // The error of Node holds the URL.
    check.problem(MALFORMED);
    return [];
  }
}

function checkSocket(path: string, check: OptionsCheck): string[] {
  const [file, query] = path.split('?', 2);
  if (file === '/') check.problem('`url` names no socket: it must look like /var/run/redis.sock.');
  return checkQuery(new URLSearchParams(query), check);
}

function checkServer({ username, password, pathname, searchParams, hash, host }: URL, check: OptionsCheck): string[] {
  decodeURIComponent(username + password);
  // A password with such a character ends where the host should begin.
  const looksCut = hash !== '' || /[@%]/.test(pathname) || [...searchParams.keys()].some((name) => /[@:/]/.test(name));
  if (looksCut) {
    check.problem(MALFORMED);
    return [];
  }
  const hasDatabase = pathname !== '' && pathname !== '/';
  if (hasDatabase && !/^\/\d{1,9}$/.test(pathname)) check.problem(DATABASE);
  const said = checkQuery(searchParams, check);
  if (host) said.push('host', 'port');
  if (username) said.push('username');
  if (password) said.push('password');
  if (hasDatabase) said.push('db');
  return said;
}

function checkQuery(query: URLSearchParams, check: OptionsCheck): string[] {
  for (const [name, value] of query) {
    if (IN_QUERY.has(name)) {
      if (!/^\d{1,9}$/.test(value)) check.problem(`\`url\`: ${name} must be a number.`);
    } else if (REDIS_OPTIONS.has(name)) {
      check.problem(`\`url\` cannot carry the option ${name}. Pass it beside the URL: { url, ${name}: … }.`);
    } else {
      // Not repeated here: it may be a part of a password.
      check.problem('`url` carries an option that is unknown. Pass options beside the URL: { url, … }.');
    }
  }
  return [...query.keys()];
}
