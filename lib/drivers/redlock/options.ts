import { OptionsCheck } from '../../core/options-check.js';
import type { RedisConnectionOptions } from '../redis/connection/clients.js';
import type { RedlockServer } from './server-set.js';

/** The most servers. A set of servers is a number with one bit for each server. */
const MOST = 31;

const EXPECTED = 'an array of URLs, ioredis options or clients';

/**
 * The options of each server. They are checked when the server is opened.
 *
 * @throws LockConfigError that names each wrong option
 */
export function checkOptions(options: RedlockDriverOptions): readonly RedisConnectionOptions[] {
  const check = new OptionsCheck('RedlockDriver');
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    check.problem(`expected an object: { servers: ${EXPECTED} }.`);
    check.done();
  }
  const { servers } = check.object(options, '', ['servers']);
  if (!Array.isArray(servers)) check.problem(`\`servers\` must be ${EXPECTED}.`);
  else {
    checkNumber(servers.length, check);
    servers.forEach((server, index) => checkServer(server, `servers[${index}]`, check));
  }
  check.done();
  return servers!.map(toOptions);
}

function checkNumber(length: number, check: OptionsCheck): void {
  if (length > MOST) return check.problem(`\`servers\` has ${length} entries; give it ${MOST} at most, 5 are usual.`);
  if (length >= 3 && length % 2 === 1) return;
  check.problem(
    `\`servers\` must be an odd number of at least 3; there ${length === 1 ? 'is 1' : `are ${length}`}. ` +
      (length < 3
        ? 'For one server use RedisDriver; two could not outvote each other.'
        : `${length} servers bear the loss of no more than ${length - 1} do: remove one, or add one.`),
  );
}

function checkServer(server: unknown, path: string, check: OptionsCheck): void {
  if (typeof server === 'string') return;
  if (typeof server !== 'object' || server === null) {
    return check.problem(`${path}: expected a URL, ioredis options or an ioredis client.`);
  }
  const isCluster = 'duplicate' in server ? 'isCluster' in server && server.isCluster : 'cluster' in server;
  if (isCluster) check.problem(`${path}: a cluster is no single server. For a cluster use RedisDriver.`);
}

function toOptions(server: RedlockServer): RedisConnectionOptions {
  if (typeof server === 'string') return { url: server };
  const isClient = typeof server === 'object' && server !== null && 'duplicate' in server;
  return isClient ? { client: server } : server;
}

/** Options of `RedlockDriver`. */
export interface RedlockDriverOptions {
  /** An odd number of independent servers, from 3 to 31. No server is a replica of another one. */
  readonly servers: readonly RedlockServer[];
}
