import { type ChannelCredentials, credentials } from '@grpc/grpc-js';
import { OptionsCheck } from '../../core/options-check.js';
import type { Host } from './client/addresses.js';

/** The TLS options of `EtcdDriver`. */
export interface EtcdTls {
  /**
   * PEM of the authorities that must have signed the certificates of the servers.
   *
   * @defaultValue those that Node.js trusts
   */
  readonly ca?: string | Buffer;
  /** PEM of the client certificate. Goes with `key`. */
  readonly cert?: string | Buffer;
  /** PEM of the private key of the client certificate. Goes with `cert`. */
  readonly key?: string | Buffer;
}

/** @inline */
export interface EtcdAuth {
  /** The name of a user of etcd. */
  readonly username: string;
  /** The password of the user. */
  readonly password: string;
}

/** A value, or a function that is called each time that the value is needed. */
export type Supplied<T> = T | (() => T | Promise<T>);

/** Options of `EtcdDriver`. */
export interface EtcdDriverOptions {
  /**
   * The members of one cluster: `'127.0.0.1:2379'`, or with a scheme, `'https://etcd-1.example:2379'`. The port is 2379
   * unless it is given. A name may stand for several members: each of its addresses is one.
   */
  readonly hosts: readonly string[];
  /**
   * Certificates and keys. The scheme `https` implies TLS with the authorities that Node.js trusts. A function is
   * called for each connection, so that renewed certificates are used without a restart.
   */
  readonly tls?: Supplied<EtcdTls>;
  /**
   * User name and password. A function is called each time that etcd gives a token, so that a password can change
   * without a restart. Credentials of a function are tried again after a refusal; without a function a refusal is
   * final.
   */
  readonly auth?: Supplied<EtcdAuth>;
}

export interface Target {
  readonly hosts: readonly Host[];
  /** Called for each connection. */
  readonly credentials: () => Promise<ChannelCredentials>;
  /** Called for each token. */
  readonly auth: (() => Promise<EtcdAuth>) | undefined;
  /** A function gives the credentials: others may follow, so a refusal is not final. */
  readonly canChange: boolean;
}

const HOST = /^(?:(https?):\/\/)?([\w.-]+|\[[\da-f:.]+\])(?::(\d+))?\/?$/i;

/** @throws LockConfigError that names each wrong option and its fix */
export function readOptions(options: EtcdDriverOptions): Target {
  const check = new OptionsCheck('EtcdDriver');
  const { hosts, tls, auth } = check.object(options, '', ['hosts', 'tls', 'auth']);
  if (typeof tls !== 'function') checkTls(check, tls);
  if (auth !== undefined && typeof auth !== 'function') checkAuth(check, auth);
  const { found, isSecure } = readHosts(check, hosts, tls !== undefined);
  const fixed = typeof tls === 'function' ? undefined : secured(check, isSecure ? (tls ?? {}) : undefined);
  check.done();
  return {
    hosts: found,
    credentials: typeof tls === 'function' ? () => askForTls(tls) : () => Promise.resolve(fixed!),
    auth: auth && (typeof auth === 'function' ? () => askForAuth(auth) : () => Promise.resolve(auth)),
    canChange: typeof tls === 'function' || typeof auth === 'function',
  };
}

async function askForTls(tls: () => EtcdTls | Promise<EtcdTls>): Promise<ChannelCredentials> {
  const check = new OptionsCheck('EtcdDriver');
  const given = await tls();
  if (given === undefined) check.problem('tls: the function returned nothing.');
  checkTls(check, given);
  const found = secured(check, given);
  check.done();
  return found!;
}

async function askForAuth(auth: () => EtcdAuth | Promise<EtcdAuth>): Promise<EtcdAuth> {
  const check = new OptionsCheck('EtcdDriver');
  const given = await auth();
  if (given === undefined) check.problem('auth: the function returned nothing.');
  else checkAuth(check, given);
  check.done();
  return given;
}

function checkTls(check: OptionsCheck, tls: EtcdTls | undefined): void {
  const { ca, cert, key } = check.object(tls, 'tls', ['ca', 'cert', 'key']);
  if ((cert === undefined) !== (key === undefined)) check.problem('tls: give both `cert` and `key`, or neither.');
  for (const [name, pem] of Object.entries({ ca, cert, key })) checkPem(check, pem, `tls.${name}`);
}

function checkAuth(check: OptionsCheck, auth: EtcdAuth): void {
  const { username, password } = check.object(auth, 'auth', ['username', 'password']);
  if (!username || typeof username !== 'string') check.problem('auth.username: expected a string that is not empty.');
  if (typeof password !== 'string' || password === '') {
    check.problem('auth.password: expected a string that is not empty. Is the environment variable set?');
  }
}

function readHosts(check: OptionsCheck, hosts: unknown, hasTls: boolean): { found: Host[]; isSecure: boolean } {
  if (!Array.isArray(hosts) || hosts.length === 0) {
    check.problem("hosts: expected a list such as ['127.0.0.1:2379']. Is the environment variable set?");
    return { found: [], isSecure: false };
  }
  const parts = hosts.map((host: unknown) => HOST.exec(typeof host === 'string' ? host.trim() : ''));
  const found = parts.map((part): Host => ({ name: part?.[2] ?? '', port: Number(part?.[3] ?? 2379) }));
  parts.forEach((part, index) => {
    if (!part) check.problem(`hosts[${index}]: expected host:port, with 'https://' in front for TLS.`);
    const { port } = found[index]!;
    if (port < 1 || port > 65_535) check.problem(`hosts[${index}]: expected a port from 1 to 65535.`);
  });
  const schemes = new Set(parts.map((part) => part?.[1]?.toLowerCase() ?? (hasTls ? 'https' : 'http')));
  if (schemes.size > 1) check.problem("hosts: all must have the same scheme, 'http' or 'https'.");
  const isSecure = schemes.has('https');
  if (hasTls && !isSecure) check.problem("tls: the hosts say 'http'. Say 'https', or leave the scheme out.");
  const names = found.filter(({ name }) => name).map(({ name, port }) => `${name.toLowerCase()}:${port}`);
  if (new Set(names).size < names.length) check.problem('hosts: names one member twice. Leave out one of them.');
  return { found, isSecure };
}

/** Refuses the path of a PEM file in place of its content, too. */
function checkPem(check: OptionsCheck, pem: unknown, path: string): void {
  if (pem === undefined || (pem instanceof Uint8Array && pem.length > 0)) return;
  if (typeof pem === 'string' && pem.includes('-----BEGIN')) return;
  check.problem(`${path}: expected the text of a PEM file, as a string or Buffer, not its path.`);
}

function secured(check: OptionsCheck, tls: EtcdTls | undefined): ChannelCredentials | undefined {
  if (!tls) return credentials.createInsecure();
  const { ca, cert, key } = tls;
  try {
    return credentials.createSsl(bufferOf(ca), bufferOf(key), bufferOf(cert));
  } catch (error) {
    check.problem(`tls: these certificates cannot be used (${(error as Error).message}).`);
    return undefined;
  }
}

function bufferOf(pem: string | Buffer | undefined): Buffer | null {
  return pem === undefined ? null : Buffer.from(pem);
}
