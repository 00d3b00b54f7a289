import { type ServiceError, status } from '@grpc/grpc-js';
import { DriverUnavailableError, LockConfigError } from '../../core/errors.js';

/** The lease of a request does not exist, so the request was not executed. */
export class LeaseGoneError extends Error {}

/** The server no longer takes our token, so the request was not executed: authenticate again. */
export class TokenRefusedError extends Error {}

/**
 * What a failed call means, decided in this one table. Anything that is not in it, a lost connection or a deadline that
 * passed above all, means that nobody knows whether the request was executed, or will be.
 */
type Meaning =
  /** Not executed; worth trying again, on another member first. */
  | 'retryable'
  /** Not executed; only a change of configuration helps. */
  | 'configuration'
  | 'lease-gone'
  | 'token-refused'
  | 'unknown';

interface Rule {
  readonly pattern: RegExp;
  readonly meaning: Meaning;
  readonly repair?: string;
}

const rules: readonly Rule[] = [
  { pattern: /requested lease not found/, meaning: 'lease-gone' },
  { pattern: /invalid auth token|revision of auth store is old/, meaning: 'token-refused' },
  {
    pattern: /^No connection established.*(certificate|altnames|wrong version number|SSL routines)/is,
    meaning: 'configuration',
    repair:
      'Check `tls`: `ca` must have signed the certificate of the server, which must name the host; a server that wants ' +
      'client certificates needs `cert` and `key`.',
  },
  { pattern: /^No connection established|^Name resolution failed|^Failed to connect/, meaning: 'retryable' },
  { pattern: /etcdserver: (no leader|too many requests|not leader)/, meaning: 'retryable' },
  {
    pattern: /database space exceeded/,
    meaning: 'retryable',
    repair: 'Compact and defragment etcd, then disarm its alarm.',
  },
  {
    pattern: /permission denied/,
    meaning: 'configuration',
    repair: 'Grant the user read and write on the prefix that the README names under "etcd permissions".',
  },
  { pattern: /user name is empty/, meaning: 'configuration', repair: 'This cluster wants `auth`.' },
  { pattern: /invalid user ID or password/, meaning: 'configuration', repair: 'Check `auth`.' },
  { pattern: /authentication is not enabled/, meaning: 'configuration', repair: 'Leave `auth` out.' },
];

/** The error that fits a failed call. `server` names the member without credentials. */
export function classify(
  error: unknown,
  server: string,
): DriverUnavailableError | LockConfigError | LeaseGoneError | TokenRefusedError {
  const cause = error as Partial<ServiceError> & Error;
  const details = withoutEmptyNote(cause.details ?? cause.message);
  const rule = rules.find(({ pattern }) => pattern.test(details));
  const message = [`etcd at ${server}: ${details}`, rule?.repair].filter(Boolean).join(' — ');
  if (rule?.meaning === 'lease-gone') return new LeaseGoneError(message, { cause });
  if (rule?.meaning === 'token-refused') return new TokenRefusedError(message, { cause });
  if (rule?.meaning === 'configuration') return new LockConfigError(message, { cause });
  if (cause.code === status.UNIMPLEMENTED) {
    return new LockConfigError(`${message} — etcd 3.4 or later is needed.`, { cause });
  }
  return new DriverUnavailableError(message, { cause, sent: rule?.meaning !== 'retryable' });
}

/** What grpc-js adds about name resolution is empty but for its time: `… (2025-01-01T00:00:00.000Z). Resolution note: `. */
function withoutEmptyNote(details: string): string {
  const text = details.trimEnd();
  if (!text.endsWith('Resolution note:')) return details;
  const before = text.slice(0, -'Resolution note:'.length).trimEnd();
  const time = before.lastIndexOf('(');
  return /^\([\dTZ:.-]+\)\.$/.test(before.slice(time)) ? before.slice(0, time).trimEnd() : before;
}
