/** True for a URL of another instance to which requests may be sent. */
export type AcceptsUrl = (url: string) => boolean;

/** `scheme://host:port`, where `*.` stands for any name below the host, and `*` for any port. */
const PATTERN = /^(https?):\/\/(\*\.)?([\w.-]+|\[[\da-f:.]+\])(?::(\d{1,5}|\*))?\/?$/i;

/** The scheme, hosts and port of URLs that are accepted. */
export interface Origin {
  readonly protocol: string;
  readonly host: string;
  /** True: any name below the host. False: the host itself. */
  readonly below: boolean;
  /** Undefined: any port. */
  readonly port: string | undefined;
}

/** Undefined for a text that is no pattern. */
export function originPattern(text: string): Origin | undefined {
  const [, scheme, below, host, port] = PATTERN.exec(text) ?? [];
  if (scheme === undefined || host === undefined) return undefined;
  const protocol = `${scheme.toLowerCase()}:`;
  return {
    protocol,
    host: host.toLowerCase(),
    below: below !== undefined,
    port: port === '*' ? undefined : (port ?? defaultPort(protocol)),
  };
}

/**
 * Accepts URLs of the same scheme and port as this instance's own URL, and URLs that fit a listed origin. Accepts none
 * where neither is given. A URL with a user name or a password is never accepted.
 *
 * Anybody who can write to the store can register a URL, and would get the cookies of the requests that are sent there.
 */
export function acceptedUrls(own: string | undefined, listed: readonly Origin[]): AcceptsUrl {
  const self = own !== undefined && URL.canParse(own) ? new URL(own) : undefined;
  return (text) => {
    if (!URL.canParse(text)) return false;
    const url = new URL(text);
    const { protocol, username, password } = url;
    if ((protocol !== 'http:' && protocol !== 'https:') || username || password) return false;
    const port = portOf(url);
    if (self && self.protocol === protocol && portOf(self) === port) return true;
    return listed.some((origin) => origin.protocol === protocol && (origin.port ?? port) === port && isAt(origin, url));
  };
}

function isAt({ host, below }: Origin, { hostname }: URL): boolean {
  return below ? hostname.endsWith(`.${host}`) : hostname === host;
}

function portOf({ port, protocol }: URL): string {
  return port || defaultPort(protocol);
}

function defaultPort(protocol: string): string {
  return protocol === 'https:' ? '443' : '80';
}
