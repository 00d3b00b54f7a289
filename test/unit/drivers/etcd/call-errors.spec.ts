import { DriverUnavailableError, LockConfigError } from 'nestjs-dist-lock';
import { describe, expect, it } from 'vitest';
import { classify, LeaseGoneError, TokenRefusedError } from '../../../../lib/drivers/etcd/call-errors.js';

type Meaning = 'not sent' | 'unknown' | 'configuration' | 'lease gone' | 'token refused';

const failures: [code: number, details: string, meaning: Meaning][] = [
  [4, 'Deadline exceeded after 1.5s', 'unknown'],
  [14, 'Connection dropped', 'unknown'],
  [14, 'read ECONNRESET', 'unknown'],
  [14, 'etcdserver: request timed out', 'unknown'],
  [14, 'etcdserver: request timed out, possibly due to previous leader failure', 'unknown'],
  [14, 'etcdserver: leader changed', 'unknown'],
  [14, 'etcdserver: no leader', 'not sent'],
  [8, 'etcdserver: too many requests', 'not sent'],
  [8, 'etcdserver: mvcc: database space exceeded', 'not sent'],
  [14, 'No connection established. Last error: connect ECONNREFUSED 127.0.0.1:1', 'not sent'],
  [14, 'Name resolution failed for target dns:nowhere:2379', 'not sent'],
  [14, 'No connection established. Last error: Error: self-signed certificate in certificate chain', 'configuration'],
  [7, 'etcdserver: permission denied', 'configuration'],
  [3, 'etcdserver: user name is empty', 'configuration'],
  [3, 'etcdserver: authentication failed, invalid user ID or password', 'configuration'],
  [9, 'etcdserver: authentication is not enabled', 'configuration'],
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

describe('a call that failed', () => {
  it.each(failures)('with %i "%s" is %s', (code, details, meaning) => {
    const cause = Object.assign(new Error(`${code} : ${details}`), { code, details });
    const error = classify(cause, 'etcd-1:2379');
    expect(meaningOf(error)).toBe(meaning);
    expect(error.message).toContain(`etcd at etcd-1:2379: ${details}`);
    expect(error.cause).toBe(cause);
  });
});
