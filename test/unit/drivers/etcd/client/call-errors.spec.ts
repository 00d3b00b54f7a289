import { DriverUnavailableError, LockConfigError } from 'nestjs-dist-lock';
import { describe, expect, it } from 'vitest';
import { classify, LeaseGoneError, TokenRefusedError } from '../../../../../lib/drivers/etcd/client/call-errors.js';

type Meaning =
  'not sent' | 'unknown' | 'configuration' | 'credentials' | 'lease gone' | 'token refused' | 'token missing';

/** What grpc-js and etcd say, what it means, and what of it is told: the reason, and the repair where there is one. */
const failures: [code: number, details: string, meaning: Meaning, told?: string][] = [
  [4, 'Deadline exceeded after 1.503s,metadata filters: 0.001s,Waiting for LB pick', 'unknown', 'no answer in time'],
  [14, 'Connection dropped', 'unknown'],
  [14, 'read ECONNRESET', 'unknown'],
  [14, 'etcdserver: request timed out', 'unknown'],
  [14, 'etcdserver: request timed out, possibly due to previous leader failure', 'unknown'],
  [14, 'etcdserver: leader changed', 'unknown'],
  [14, 'etcdserver: no leader', 'not sent'],
  [8, 'etcdserver: too many requests', 'not sent'],
  [8, 'etcdserver: mvcc: database space exceeded', 'not sent'],
  [14, 'Channel has been shut down', 'not sent'],
  [14, 'Channel closed before call started', 'not sent'],
  [
    14,
    'No connection established. Last error: Error: connect ECONNREFUSED 127.0.0.1:1. Resolution note: ',
    'not sent',
    'connect ECONNREFUSED 127.0.0.1:1',
  ],
  [
    14,
    'No connection established. Last error: Failed to connect (2026-11-30T00:28:03.289Z). Resolution note: ',
    'not sent',
    'the connection was closed before it was ready — Check host and port',
  ],
  [
    14,
    'No connection established. Last error: Protocol error (2026-11-30T00:28:03.300Z). Resolution note: ',
    'not sent',
    'the server does not speak gRPC — Check host and port',
  ],
  [
    14,
    'No connection established. Last error: undefined. Resolution note: ',
    'not sent',
    'no connection, and no reason',
  ],
  [14, 'No connection established. Last error: null', 'not sent', 'no connection, and no reason'],
  [14, 'Name resolution failed for target dns:nowhere:2379', 'not sent'],
  [
    14,
    'No connection established. Last error: Error: 807C:error:0A00010B:SSL routines:ssl3_get_record:wrong version number:a.c:350:\n',
    'configuration',
    '807C:error:0A00010B:SSL routines:ssl3_get_record:wrong version number:a.c:350: — The server does not use TLS',
  ],
  [
    14,
    'No connection established. Last error: Error: self-signed certificate in certificate chain',
    'credentials',
    'self-signed certificate in certificate chain — Check `tls`',
  ],
  [
    14,
    "No connection established. Last error: Error [ERR_TLS_CERT_ALTNAME_INVALID]: Hostname/IP does not match certificate's altnames: x",
    'credentials',
    "Hostname/IP does not match certificate's altnames: x — Check `tls`",
  ],
  [7, 'etcdserver: permission denied', 'configuration'],
  [3, 'etcdserver: user name is empty', 'token missing'],
  [3, 'etcdserver: authentication failed, invalid user ID or password', 'credentials'],
  [12, 'unknown service etcdserverpb.KV', 'configuration'],
  [5, 'etcdserver: requested lease not found', 'lease gone'],
  [16, 'etcdserver: invalid auth token', 'token refused'],
  [3, 'etcdserver: revision of auth store is old', 'token refused'],
];

function meaningOf(error: Error): Meaning {
  if (error instanceof LeaseGoneError) return 'lease gone';
  if (error instanceof TokenRefusedError) return 'token refused';
  if (error instanceof LockConfigError) return 'configuration';
  expect(error).toBeInstanceOf(DriverUnavailableError);
  return (error as DriverUnavailableError).sent ? 'unknown' : 'not sent';
}

function failureOf(code: number, details: string): Error {
  return Object.assign(new Error(`${code} : ${details}`), { code, details });
}

describe('a call that failed', () => {
  it.each(failures)('with %i "%s" is %s', (code, details, meaning, told = details) => {
    const cause = failureOf(code, details);
    const error = classify(cause, 'etcd-1:2379', { hasAuth: false, canChange: false });
    const isFinal = meaning === 'credentials' || meaning === 'token missing';
    expect(meaningOf(error)).toBe(isFinal ? 'configuration' : meaning);
    expect(error.message).toContain(`etcd at etcd-1:2379: ${told}`);
    expect(error.message).not.toMatch(/Last error|Resolution note|undefined|null/);
    expect(error.cause).toBe(cause);
  });

  it.each(failures)('with %i "%s" is retryable where a function gives other credentials', (code, details, meaning) => {
    const error = classify(failureOf(code, details), 'etcd-1:2379', { hasAuth: true, canChange: true });
    const changed: Partial<Record<Meaning, Meaning>> = { credentials: 'not sent', 'token missing': 'token refused' };
    expect(meaningOf(error)).toBe(changed[meaning] ?? meaning);
  });

  it('reads 1 MB of text in no time', () => {
    const startedAt = performance.now();
    for (const text of ['.', '(2026-', ' Resolution note:', 'No connection established. ', '\n']) {
      classify(failureOf(14, text.repeat(2 ** 20 / text.length)), 'a:1');
    }
    expect(performance.now() - startedAt).toBeLessThan(2000);
  });
});
