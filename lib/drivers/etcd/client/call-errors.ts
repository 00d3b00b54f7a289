import { type ServiceError, status } from '@grpc/grpc-js';
import { DriverUnavailableError, LockConfigError } from '../../../core/errors.js';

/** The lease of a request does not exist, so the request was not executed. */
export class LeaseGoneError extends Error {}

/** The server refused the token, so the request was not executed. A new token is needed. */
export class TokenRefusedError extends Error {}

/**
 * The meaning of a failed call. One table decides it. For everything that is not in the table, such as a lost connection
 * or a deadline that passed, it is unknown whether the request was executed, or still will be.
 */
type Meaning =
  /** Not executed. Another attempt may succeed, on another member first. */
  | 'retryable'
  /** Not executed. Only a change of the configuration helps. */
  | 'configuration'
  /** As `configuration`. Retryable where a function gives the credentials, because others may follow. */
  | 'credentials'
  | 'lease-gone'
  | 'token-refused'
  /** As `token-refused` with `auth`; without, as `configuration`. */
  | 'token-missing'
  | 'unknown';

interface Rule {
  readonly pattern: RegExp;
  readonly meaning: Meaning;
  readonly repair?: string;
}

/** The beginning of the text with which grpc-js reports a failed connection. */
const UNCONNECTED = /^No connection established\.? ?(?:Last error: )?(?:Error(?: \[\w+\])?: )?/;

const LONGEST_REASON = 1000;

const WRONG_SERVER =
  'Check host and port: is it the client port of an etcd (2379 by default)? One that serves TLS needs `https://` or `tls`.';

const rules: readonly Rule[] = [
  { pattern: /requested lease not found/, meaning: 'lease-gone' },
  { pattern: /invalid auth token|revision of auth store is old/, meaning: 'token-refused' },
  {
    pattern: /^No connection established.*wrong version number/s,
    meaning: 'configuration',
    repair: 'The server does not use TLS: leave out `https://` and `tls`, or check the port.',
  },
  {
    pattern: /^No connection established.*before secure TLS connection/s,
    meaning: 'retryable',
    repair: 'The server may not use TLS: then leave out `https://` and `tls`, or check the port.',
  },
  {
    pattern: /^No connection established.*(certificate|altnames|SSL routines|alert)/is,
    meaning: 'credentials',
    repair:
      'Check `tls`: `ca` must have signed the certificate of the server, which must name the host; a server that asks for ' +
      'client certificates needs `cert` and `key`.',
  },
  {
    pattern: /^No connection established.*(Protocol error|Failed to connect)/,
    meaning: 'retryable',
    repair: WRONG_SERVER,
  },
  { pattern: /^(No connection established|Name resolution failed|Failed to connect)/, meaning: 'retryable' },
  // The channel was replaced before it got the request.
  { pattern: /^Channel (has been shut down|closed before call started)/, meaning: 'retryable' },
  { pattern: /etcdserver: (no leader|too many requests|not leader)/, meaning: 'retryable' },
  {
    pattern: /database space exceeded/,
    meaning: 'retryable',
    repair: 'The database of etcd is full: compact and defragment etcd, then disarm its alarm.',
  },
  {
    pattern: /permission denied/,
    meaning: 'configuration',
    repair: 'Grant the user read and write on the prefix that docs/drivers/etcd.md names under "etcd permissions".',
  },
  { pattern: /user name is empty/, meaning: 'token-missing', repair: 'This cluster needs a login: pass `auth`.' },
  {
    pattern: /invalid user ID or password/,
    meaning: 'credentials',
    repair: 'Check `auth.username` and `auth.password`.',
  },
];

export interface Credentials {
  readonly hasAuth: boolean;
  /** A function gives the credentials. */
  readonly canChange: boolean;
}

const FIXED: Credentials = { hasAuth: false, canChange: false };

/** The error for a failed call. `server` is the name of the member, without credentials. */
export function classify(
  error: unknown,
  server: string,
  { hasAuth, canChange }: Credentials = FIXED,
): DriverUnavailableError | LockConfigError | LeaseGoneError | TokenRefusedError {
  if (error instanceof DriverUnavailableError || error instanceof LockConfigError) return error;
  const cause = error as Partial<ServiceError> & Error;
  // The text of the other side may have any length.
  const details = (cause.details ?? cause.message).slice(0, LONGEST_REASON);
  const rule = rules.find(({ pattern }) => pattern.test(details));
  const message = [`etcd at ${server}: ${reasonOf(details)}`, rule?.repair].filter(Boolean).join(' — ');
  const meaning = rule?.meaning;
  if (meaning === 'lease-gone') return new LeaseGoneError(message, { cause });
  if (meaning === 'token-refused' || (meaning === 'token-missing' && hasAuth)) {
    return new TokenRefusedError(message, { cause });
  }
  const isFinal =
    meaning === 'configuration' || meaning === 'token-missing' || (meaning === 'credentials' && !canChange);
  if (isFinal) return new LockConfigError(message, { cause });
  if (cause.code === status.UNIMPLEMENTED) {
    return new LockConfigError(`${message} — etcd 3.4 or later is needed.`, { cause });
  }
  return new DriverUnavailableError(message, { cause, sent: meaning !== 'retryable' && meaning !== 'credentials' });
}

/** The cluster does not ask for users. */
export function isAuthOff(error: unknown): boolean {
  return error instanceof Error && /authentication is not enabled/.test(error.message);
}

/** There was no connection. Wrong TLS is no answer of the cluster: another member may have a better certificate. */
export function isUnconnected(error: Error): boolean {
  return error.cause instanceof Error && /No connection established/.test(error.cause.message.slice(0, LONGEST_REASON));
}

/** The reason in the text of grpc-js, without its phrases and notes. */
function reasonOf(details: string): string {
  const reason = withoutEnd(details.trimEnd(), 'Resolution note:')
    .replace(/\.?$/, '')
    .replace(/ ?\(\d{4}-[\dTZ:.-]+\)$/, '')
    .replace(/^Deadline exceeded after.*$/s, 'no answer in time')
    .replace(UNCONNECTED, '')
    .trim();
  if (reason === 'Protocol error') return 'the server does not speak gRPC';
  if (reason === 'Failed to connect') return 'the connection was closed before it was ready';
  return /^(undefined|null|)$/.test(reason) ? 'no connection, and no reason given' : reason;
}

function withoutEnd(text: string, end: string): string {
  return text.endsWith(end) ? text.slice(0, -end.length).trimEnd() : text;
}
