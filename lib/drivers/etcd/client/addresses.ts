import { promises as dns } from 'node:dns';
import { isIP } from 'node:net';

/** One entry of `hosts`. */
export interface Host {
  readonly name: string;
  readonly port: number;
}

export interface Address extends Host {
  readonly ip: string;
}

/**
 * The addresses behind a name. Each is a member of its own: a headless service or a balancer names all members at once,
 * and a member that does not answer must not stand for the others.
 */
export async function addressesOf({ name, port }: Host): Promise<Address[]> {
  const bare = name.replace(/^\[(.*)\]$/, '$1');
  if (isIP(bare)) return [{ name, port, ip: bare }];
  const found = await dns.lookup(bare, { all: true });
  return found.map(({ address }) => ({ name, port, ip: address }));
}

export function isName({ name }: Host): boolean {
  return !name.startsWith('[') && isIP(name) === 0;
}

/** The target of a channel, as gRPC names it. */
export function targetOf({ ip, port }: Address): string {
  return isIP(ip) === 6 ? `ipv6:[${ip}]:${port}` : `ipv4:${ip}:${port}`;
}

/** The text for people. */
export function textOf(address: Address): string {
  const { name, port, ip } = address;
  return isName(address) ? `${name}:${port} (${ip})` : `${name}:${port}`;
}
