/** What a query may tell. ioredis takes any option there, as text, and before those that we enforce. */
const IN_QUERY: ReadonlySet<string> = new Set(['db', 'family']);

const MALFORMED =
  '`url` is malformed. Characters like / # % @ in its user name or password must be encoded: ' +
  'encodeURIComponent(password). Or pass { host, port, username, password }.';

/** What is wrong with a URL, if anything. Never holds the URL, which may contain a password. */
export function urlProblem(url: unknown): string | undefined {
  if (typeof url !== 'string' || !/^(rediss?:\/\/|\/)/.test(url)) {
    const what = url === undefined ? 'undefined. Is the environment variable set?' : 'something else.';
    return `\`url\` must look like 'redis://localhost:6379'; it is ${what}`;
  }
  try {
    const { username, password, searchParams } = new URL(url, 'file:');
    decodeURIComponent(username + password);
    const option = [...searchParams.keys()].find((name) => !IN_QUERY.has(name));
    return option && `\`url\` cannot carry the option ${option}. Pass it beside the URL: { url, ${option}: … }.`;
  } catch {
    // The error of Node holds the URL.
    return MALFORMED;
  }
}
