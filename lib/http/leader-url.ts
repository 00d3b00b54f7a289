/** Where the leader receives a request. */
export interface LeaderTarget {
  /** Scheme and authority, from what the leader registered alone. */
  readonly base: URL;
  /** Path and query as the client wrote them: a path that is tidied up could name another route than was asked for. */
  readonly path: string;
}

/**
 * What the client sent becomes part of the path and nothing else, never of the scheme, the host or the credentials: a
 * redirect leads to the leader only.
 *
 * @param leaderUrl the `instance.url` that the leader registered
 * @param requestUrl the target of the request as it was received
 * @returns null where the leader registered no address that requests can be sent to
 */
export function leaderTarget(leaderUrl: string | undefined, requestUrl: string): LeaderTarget | null {
  if (leaderUrl === undefined || !URL.canParse(leaderUrl)) return null;
  const { protocol, origin, pathname } = new URL(leaderUrl);
  if (protocol !== 'http:' && protocol !== 'https:') return null;
  return { base: new URL(origin), path: withoutSlashes(pathname) + pathOf(requestUrl) };
}

/** A client may also send the whole URL (`GET http://host/path`), or `*`. */
function pathOf(requestUrl: string): string {
  if (requestUrl.startsWith('/')) return requestUrl;
  if (!URL.canParse(requestUrl)) return '/';
  const { pathname, search } = new URL(requestUrl);
  return pathname.startsWith('/') ? pathname + search : '/';
}

/** Without those at the end. */
function withoutSlashes(path: string): string {
  let { length } = path;
  while (path[length - 1] === '/') length--;
  return path.slice(0, length);
}
