/** The address at which the leader receives a request. */
export interface LeaderTarget {
  /** Scheme, host and port: from the URL that the leader registered, never from the request. */
  readonly base: URL;
  /** Path and query as the client wrote them. A normalised path could name another route. */
  readonly path: string;
}

/**
 * The address for a request at the leader. The client's text becomes part of the path only, never of scheme, host or
 * credentials. So a redirect leads to the leader and to no other host.
 *
 * @param leaderUrl the `instance.url` that the leader registered
 * @param requestUrl the target of the request as it was received
 * @returns null where the leader registered no `http:` or `https:` URL
 */
export function leaderTarget(leaderUrl: string | undefined, requestUrl: string): LeaderTarget | null {
  if (leaderUrl === undefined || !URL.canParse(leaderUrl)) return null;
  const { protocol, origin, pathname } = new URL(leaderUrl);
  if (protocol !== 'http:' && protocol !== 'https:') return null;
  return { base: new URL(origin), path: withoutSlashes(pathname) + pathOf(requestUrl) };
}

/** A client may also send a whole URL (`GET http://host/path`), or `*`. */
function pathOf(requestUrl: string): string {
  if (requestUrl.startsWith('/')) return requestUrl;
  if (!URL.canParse(requestUrl)) return '/';
  const { pathname, search } = new URL(requestUrl);
  return pathname.startsWith('/') ? pathname + search : '/';
}

/** The path without slashes at its end. A loop, because `/+$/` takes quadratic time for a long row of slashes. */
function withoutSlashes(path: string): string {
  let { length } = path;
  while (path[length - 1] === '/') length--;
  return path.slice(0, length);
}
