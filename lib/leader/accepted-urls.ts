/** Whether requests may be sent to a URL that another instance has registered. */
export type AcceptsUrl = (url: string) => boolean;

/** `scheme://host:port`, where `*.` stands for any name below the host, and `*` for any port. */
const PATTERN = /^(https?):\/\/(\*\.)?([\w.-]+|\[[\da-f:.]+\])(?::(\d{1,5}|\*))?\/?$/i;

/** What URLs are accepted of. */
export interface Origin {
  readonly protocol: string;
  readonly host: string;
  readonly below: boolean;
  /** Undefined: any. */
  readonly port: string | undefined;
}

/** Undefined for what is no pattern. */
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
 * Where requests may be sent, of what other instances have registered: URLs of the same scheme and port as this
 * instance's own, and those that are listed. Without both: none.
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
