import { credentials, type ChannelCredentials } from '@grpc/grpc-js';
import { OptionsCheck } from '../../core/options-check.js';

export interface EtcdTls {
  /** PEM of the authorities that the servers' certificates must come from. Default: those that Node.js trusts. */
  readonly ca?: string | Buffer;
  /** PEM of the client certificate, and of its key. */
  readonly cert?: string | Buffer;
  readonly key?: string | Buffer;
}

export interface EtcdDriverOptions {
  /** The members of one cluster: `'127.0.0.1:2379'`, or with a scheme, `'https://etcd-1.example:2379'`. */
  readonly hosts: readonly string[];
  /** Implied by the scheme `https`, then with the authorities that Node.js trusts. */
  readonly tls?: EtcdTls;
  readonly auth?: { readonly username: string; readonly password: string };
}

export interface Target {
  readonly addresses: readonly string[];
  readonly credentials: ChannelCredentials;
  readonly auth: EtcdDriverOptions['auth'];
}

const HOST = /^(?:(https?):\/\/)?([\w.-]+|\[[\da-f:.]+\])(?::(\d+))?\/?$/i;

/** @throws LockConfigError that names each option that is wrong, and its repair */
export function targetOf(options: EtcdDriverOptions): Target {
  const check = new OptionsCheck('EtcdDriver');
  const { hosts, tls, auth } = check.object(options, '', ['hosts', 'tls', 'auth']);
  const { ca, cert, key } = check.object(tls, 'tls', ['ca', 'cert', 'key']);
  if ((cert === undefined) !== (key === undefined)) check.problem('tls: give both `cert` and `key`, or neither.');
  for (const [name, pem] of Object.entries({ ca, cert, key })) checkPem(check, pem, `tls.${name}`);
  if (auth !== undefined) {
    const { username, password } = check.object(auth, 'auth', ['username', 'password']);
    if (!username || typeof username !== 'string') check.problem('auth.username: expected a string that is not empty.');
    if (typeof password !== 'string') {
      check.problem('auth.password: expected a string. Is the environment variable set?');
    }
  }
  const { addresses, isSecure } = readHosts(check, hosts, tls !== undefined);
  check.done();
  return {
    addresses,
    credentials: isSecure
      ? credentials.createSsl(bufferOf(ca), bufferOf(key), bufferOf(cert))
      : credentials.createInsecure(),
    auth,
  };
}

function readHosts(check: OptionsCheck, hosts: unknown, hasTls: boolean): { addresses: string[]; isSecure: boolean } {
  if (!Array.isArray(hosts) || hosts.length === 0) {
    check.problem("hosts: expected a list such as ['127.0.0.1:2379']. Is the environment variable set?");
    return { addresses: [], isSecure: false };
  }
  const parts = hosts.map((host: unknown) => HOST.exec(typeof host === 'string' ? host.trim() : ''));
  parts.forEach((found, index) => {
    if (!found) check.problem(`hosts[${index}]: expected host:port, with 'https://' in front for TLS.`);
  });
  const schemes = new Set(parts.map((found) => found?.[1]?.toLowerCase() ?? (hasTls ? 'https' : 'http')));
  if (schemes.size > 1) check.problem("hosts: all must have the same scheme, 'http' or 'https'.");
  const isSecure = schemes.has('https');
  if (hasTls && !isSecure) check.problem("tls: the hosts say 'http'. Say 'https', or leave the scheme out.");
  const addresses = parts.map((found) => `${found?.[2]}:${found?.[3] ?? 2379}`);
  if (new Set(addresses).size < addresses.length) check.problem('hosts: names one member twice.');
  return { addresses, isSecure };
}

function checkPem(check: OptionsCheck, pem: unknown, path: string): void {
  if (pem === undefined || (pem instanceof Uint8Array && pem.length > 0)) return;
  if (typeof pem === 'string' && pem.includes('-----BEGIN')) return;
  check.problem(`${path}: expected the text of a PEM file, as a string or Buffer, not its path.`);
}

function bufferOf(pem: string | Buffer | undefined): Buffer | null {
  return pem === undefined ? null : Buffer.from(pem);
}
