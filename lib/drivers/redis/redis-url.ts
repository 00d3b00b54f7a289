import { LockConfigError } from '../../core/errors.js';

/** What a query may tell. ioredis takes any option there, as text, and before those that we enforce. */
const IN_QUERY: ReadonlySet<string> = new Set(['db', 'family']);

/** @throws LockConfigError that says what is wrong, and never holds the URL, which may contain a password */
export function checkUrl(url: unknown): asserts url is string {
  if (typeof url !== 'string' || !/^(rediss?:\/\/|\/)/.test(url)) {
    const what = url === undefined ? 'undefined. Is the environment variable set?' : 'something else.';
    throw new LockConfigError(`RedisDriver: \`url\` must look like 'redis://localhost:6379'; it is ${what}`);
  }
  for (const option of parse(url).searchParams.keys()) {
    if (IN_QUERY.has(option)) continue;
    throw new LockConfigError(
      `RedisDriver: \`url\` cannot carry the option ${option}. Pass it beside the URL: { url, ${option}: … }.`,
    );
  }
}

function parse(url: string): URL {
  try {
    const parsed = new URL(url, 'file:');
    decodeURIComponent(parsed.username + parsed.password);
    return parsed;
  } catch {
    // Not as the cause: the error of Node holds the URL.
    throw new LockConfigError(
      'RedisDriver: `url` is malformed. Characters like / # % @ in its user name or password must be encoded: ' +
        'encodeURIComponent(password). Or pass { host, port, username, password }.',
    );
  }
}
