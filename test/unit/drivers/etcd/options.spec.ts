import { LockConfigError } from 'nestjs-dist-lock';
import { EtcdDriver, type EtcdDriverOptions } from 'nestjs-dist-lock/etcd';
import { describe, expect, it } from 'vitest';
import { targetOf } from '../../../../lib/drivers/etcd/options.js';

const PEM = '-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n';

const wrong: [options: object, message: string][] = [
  [{}, "hosts: expected a list such as ['127.0.0.1:2379']. Is the environment variable set?"],
  [{ hosts: [] }, 'hosts: expected a list'],
  [{ hosts: '127.0.0.1:2379' }, 'hosts: expected a list'],
  [{ hosts: ['a:1', 'b c'] }, "hosts[1]: expected host:port, with 'https://' in front for TLS."],
  [{ hosts: ['etcd://a:1'] }, 'hosts[0]: expected host:port'],
  [{ hosts: ['http://a:1', 'https://b:1'] }, 'hosts: all must have the same scheme'],
  [{ hosts: ['a:2379', 'http://a'] }, 'hosts: names one member twice.'],
  [{ hosts: ['http://a:1'], tls: {} }, "tls: the hosts say 'http'."],
  [{ hosts: ['a:1'], tls: { ca: '/etc/ca.pem' } }, 'tls.ca: expected the text of a PEM file'],
  [{ hosts: ['a:1'], tls: { cert: PEM } }, 'tls: give both `cert` and `key`, or neither.'],
  [{ hosts: ['a:1'], tls: { rejectUnauthorized: false } }, 'tls.rejectUnauthorized: unknown option.'],
  [{ hosts: ['a:1'], auth: { username: '', password: 'x' } }, 'auth.username: expected a string that is not empty.'],
  [{ hosts: ['a:1'], auth: { username: 'u' } }, 'auth.password: expected a string. Is the environment variable set?'],
  [{ hosts: ['a:1'], endpoints: [] }, 'endpoints: unknown option. Known: hosts, tls, auth.'],
];

describe('the options of EtcdDriver', () => {
  it.each(wrong)('%j is refused with a repair', (options, message) => {
    const create = (): EtcdDriver => new EtcdDriver(options as EtcdDriverOptions);
    expect(create).toThrow(LockConfigError);
    expect(create).toThrow(message);
  });

  it('names the members with and without scheme, port or TLS', () => {
    const addresses = (options: EtcdDriverOptions): readonly string[] => targetOf(options).addresses;
    expect(addresses({ hosts: ['a', ' b:1 ', 'http://c:2/'] })).toEqual(['a:2379', 'b:1', 'c:2']);
    expect(addresses({ hosts: ['https://a', 'https://[::1]:5'] })).toEqual(['a:2379', '[::1]:5']);
    expect(targetOf({ hosts: ['a'] }).credentials._isSecure()).toBe(false);
    expect(targetOf({ hosts: ['https://a'] }).credentials._isSecure()).toBe(true);
    expect(targetOf({ hosts: ['a'], tls: {} }).credentials._isSecure()).toBe(true);
  });
});
