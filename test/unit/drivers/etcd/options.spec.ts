import { LockConfigError } from 'nestjs-dist-lock';
import { EtcdDriver, type EtcdDriverOptions } from 'nestjs-dist-lock/etcd';
import { describe, expect, it } from 'vitest';
import { readOptions } from '../../../../lib/drivers/etcd/options.js';

const PEM = '-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n';

const HOSTS = "hosts: expected a list such as ['127.0.0.1:2379']. Is the environment variable set?";
const PORT = 'expected host:port';

const wrong: [options: unknown, messages: string[]][] = [
  [undefined, [HOSTS]],
  [null, ['options: expected an object.', HOSTS]],
  ['127.0.0.1:2379', ['options: expected an object.', HOSTS]],
  [['127.0.0.1:2379'], ['options: expected an object.', HOSTS]],
  [{}, [HOSTS]],
  [{ host: 'a:1' }, ['host: unknown option. Known: hosts, tls, auth.', HOSTS]],
  [{ endpoints: ['a:1'] }, ['endpoints: unknown option. Known: hosts, tls, auth.', HOSTS]],
  [{ hosts: [] }, [HOSTS]],
  [{ hosts: '127.0.0.1:2379' }, [HOSTS]],
  [{ hosts: { 0: 'a:1' } }, [HOSTS]],
  [{ hosts: [undefined, ''] }, [`hosts[0]: ${PORT}`, `hosts[1]: ${PORT}`]],
  [{ hosts: ['a:1', 'b c'] }, ["hosts[1]: expected host:port, with 'https://' in front for TLS."]],
  [{ hosts: ['etcd://a:1'] }, [`hosts[0]: ${PORT}`]],
  [{ hosts: ['a:1,b:1'] }, [`hosts[0]: ${PORT}`]],
  [{ hosts: ['::1'] }, [`hosts[0]: ${PORT}`]],
  [{ hosts: ['http://u:secret@a:1'] }, [`hosts[0]: ${PORT}`]],
  [{ hosts: ['http://a:1/v3'] }, [`hosts[0]: ${PORT}`]],
  [{ hosts: ['a:0', 'b:70000'] }, ['hosts[0]: expected a port from 1 to 65535.', 'hosts[1]: expected a port']],
  [{ hosts: ['http://a:1', 'https://b:1'] }, ['hosts: all must have the same scheme']],
  [{ hosts: ['a:2379', 'http://A'] }, ['hosts: names one member twice. Leave out one of them.']],
  [{ hosts: ['http://a:1'], tls: {} }, ["tls: the hosts say 'http'."]],
  [{ hosts: ['http://a:1'], tls: () => ({}) }, ["tls: the hosts say 'http'."]],
  [{ hosts: ['a:1'], tls: true }, ['tls: expected an object.']],
  [{ hosts: ['a:1'], tls: null }, ['tls: expected an object.']],
  [{ hosts: ['a:1'], tls: { ca: '/etc/ca.pem' } }, ['tls.ca: expected the text of a PEM file']],
  [{ hosts: ['a:1'], tls: { ca: 5 } }, ['tls.ca: expected the text of a PEM file']],
  [{ hosts: ['a:1'], tls: { cert: PEM } }, ['tls: give both `cert` and `key`, or neither.']],
  [{ hosts: ['a:1'], tls: { cert: PEM, key: PEM } }, ['tls: these certificates cannot be used']],
  [{ hosts: ['a:1'], tls: { rejectUnauthorized: false } }, ['tls.rejectUnauthorized: unknown option.']],
  [{ hosts: ['a:1'], auth: 'u:secret' }, ['auth: expected an object.', 'auth.username', 'auth.password']],
  [{ hosts: ['a:1'], auth: null }, ['auth: expected an object.']],
  [{ hosts: ['a:1'], auth: { username: '', password: 'x' } }, ['auth.username: expected a string that is not empty.']],
  [{ hosts: ['a:1'], auth: { username: 'u' } }, ['auth.password: expected a string that is not empty. Is the']],
  [{ hosts: ['a:1'], auth: { username: 'u', password: '' } }, ['auth.password: expected a string']],
  [{ hosts: [], auth: { user: 'u' } }, [HOSTS, 'auth.user: unknown option. Known: username, password.']],
];

describe('the options of EtcdDriver', () => {
  it.each(wrong)('%j: all that is wrong is told in one error, with the repair', (options, messages) => {
    const create = (): EtcdDriver => new EtcdDriver(options as EtcdDriverOptions);
    expect(create).toThrow(LockConfigError);
    for (const message of messages) expect(create).toThrow(message);
    expect(create).not.toThrow(/secret/);
  });

  it('names the members with and without scheme, port or TLS', async () => {
    const hosts = (options: EtcdDriverOptions): string[] =>
      readOptions(options).hosts.map(({ name, port }) => `${name}:${port}`);
    const isSecure = async (options: EtcdDriverOptions): Promise<boolean> =>
      (await readOptions(options).credentials())._isSecure();
    expect(hosts({ hosts: ['a', ' b:1 ', 'http://c:2/'] })).toEqual(['a:2379', 'b:1', 'c:2']);
    expect(hosts({ hosts: ['https://a', 'https://[::1]:5'] })).toEqual(['a:2379', '[::1]:5']);
    expect(await isSecure({ hosts: ['a'] })).toBe(false);
    expect(await isSecure({ hosts: ['https://a'] })).toBe(true);
    expect(await isSecure({ hosts: ['a'], tls: {} })).toBe(true);
    expect(await isSecure({ hosts: ['a'], tls: () => ({}) })).toBe(true);
  });
});
